"""SQL that makes a file of this version what an older version would have written."""

WITH_LOST_RECORDS_UNDECIDED = """
    UPDATE labels SET undecided = undecided + 1 WHERE label NOT GLOB '@*';
    PRAGMA user_version = 8;
"""
"""Makes a file count one record more of each label as undecided, as if it followed a record that has lost."""

WITHOUT_TESTIMONY = """
    DROP TRIGGER former_keys_of_a_removed_label; DROP TABLE former_keys;
    DROP TABLE witnessed_domains; DROP TABLE witnesses; DROP TABLE receipts; DROP TABLE forks;
    DROP TABLE testimony; DROP TABLE testimony_ahead; DROP INDEX labels_to_look_after;
    ALTER TABLE labels DROP COLUMN undecided; ALTER TABLE labels DROP COLUMN doubly_decided;
    PRAGMA user_version = 6;
"""
"""Makes a file what it was before testimony was kept."""

WITHOUT_USAGE = f"""{WITHOUT_TESTIMONY}
    DROP TABLE usage; DROP TABLE domains; DELETE FROM meta WHERE name = 'usage_through';
    PRAGMA user_version = 5;
"""
"""Makes a file what it was before usage was counted."""

WITHOUT_FOUNDERS = f"""{WITHOUT_USAGE}
    DROP INDEX labels_by_founder; ALTER TABLE labels DROP COLUMN founder;
    PRAGMA user_version = 4;
"""
"""Makes a file what it was before founders were kept."""

WITHOUT_REMOVALS = f"""{WITHOUT_FOUNDERS}
    DROP TABLE erasures; DROP TABLE removals; DROP TABLE dropped; DELETE FROM meta WHERE name = 'remnants';
    PRAGMA user_version = 3;
"""
"""Makes a file what it was before records could be taken down."""
