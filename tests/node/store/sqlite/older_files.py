"""SQL that makes a file of this version what an older version would have written."""

WITHOUT_TESTIMONY = """
    DROP TRIGGER former_keys_of_a_removed_label; DROP TABLE former_keys;
    DROP TABLE witnessed_domains; DROP TABLE witnesses; DROP TABLE receipts; DROP TABLE forks;
    DROP TABLE testimony; DROP TABLE testimony_ahead; DROP INDEX labels_to_look_after;
    ALTER TABLE labels DROP COLUMN undecided; ALTER TABLE labels DROP COLUMN doubly_decided;
    PRAGMA user_version = 6;
"""
"""Makes a file what it was before testimony was kept."""
