"""Settings: which source gives a value, and which error a bad value causes."""

from pathlib import Path

import pytest

from node.settings.description import describe, spell
from node.settings.loading import DEFAULT, OTHER_VARIABLES, SettingsError, load
from node.settings.settings import KINDS, Settings


def written(folder: Path, text: str) -> Path:
    file = folder / "dnarc.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_later_source_overrides_an_earlier_one_and_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "port = 1\nmax_age = 1\nmax_skew = 1\n")

    loaded = load(file, {"DNARC_MAX_AGE": "2", "DNARC_MAX_SKEW": "2"}, {"max_skew": "3", "host": None})

    assert loaded.settings == Settings(port=1, max_age=2, max_skew=3)
    assert {name: source for name, source in loaded.sources.items() if source != DEFAULT} == {
        "port": str(file),
        "max_age": "DNARC_MAX_AGE",
        "max_skew": "--max-skew",
    }


READ = [
    ("DNARC_MAX_AGE", "86400", Settings(max_age=86_400)),
    ("DNARC_MAX_AGE", "none", Settings(max_age=None)),
    ("DNARC_MAX_AGE", "None", Settings(max_age=None)),
    ("DNARC_MAX_AGE", "0", Settings(max_age=0)),
    ("DNARC_DOMAINS", "example.org, example.com", Settings(domains=["example.org", "example.com"])),
    ("DNARC_TRUSTED_PROXIES", "127.0.0.1, fd00::/8", Settings(trusted_proxies=["127.0.0.1", "fd00::/8"])),
    ("DNARC_WRITE_ORIGINS", "http://[::1]:8080", Settings(write_origins=["http://[::1]:8080"])),
    ("DNARC_LOOPBACK_TRUSTED", "false", Settings(loopback_trusted=False)),
    ("DNARC_DATA", "none/at/all", Settings(data=Path("none/at/all"))),
    ("DNARC_SYNC_INTERVAL", "0.5", Settings(sync_interval=0.5)),
    ("DNARC_LOG_FORMAT", "json", Settings(log_format="json")),
    ("DNARC_LINK_COMPRESSION", "true", Settings(link_compression=True)),
    ("DNARC_LINK_COMPRESSION", "0", Settings(link_compression=False)),
    ("DNARC_STORE", "postgresql://me@host/claims", Settings(store="postgresql://me@host/claims")),
    ("DNARC_STORE", "none", Settings()),
    ("DNARC_TLS_CA", "ca.pem", Settings(tls_ca=Path("ca.pem"))),
    ("DNARC_TLS_CA", "none", Settings(tls_ca=None)),
    ("PATH", "/bin", Settings()),
    ("DNARC_ADMIN_TOKEN", "secret", Settings()),
]


@pytest.mark.parametrize(("variable", "text", "settings"), READ)
def test_the_environment_is_read_as_text(variable: str, text: str, settings: Settings) -> None:
    assert load(None, {variable: text}, {}).settings == settings


def test_a_file_holds_typed_values(tmp_path: Path) -> None:
    file = written(tmp_path, 'domains = ["example.org"]\nmax_age = "none"\nsync_interval = 5\ndata = "there"\n')

    settings = load(file, {}, {}).settings

    assert settings == Settings(domains=["example.org"], max_age=None, sync_interval=5.0, data=Path("there"))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load(written(tmp_path, "\ufeffmax_age = 60\n"), {}, {}).settings == Settings(max_age=60)


def test_flags_may_hold_typed_values() -> None:
    assert load(None, {}, {"port": 0, "domains": ["example.org"]}).settings == Settings(port=0, domains=["example.org"])


AGE = "a whole number of at least 0 or none, in seconds"
PORT = "a whole number of at least 0 and at most 65535"
INTERVAL = "a number above 0 or none, in seconds"
WRONG = [
    ("max_age", "-1", AGE),
    ("max_age", "", AGE),
    ("max_age", "1 day", AGE),
    ("port", "none", PORT),
    ("port", "65536", PORT),
    ("sync_interval", "0", INTERVAL),
    ("sync_interval", "inf", INTERVAL),
    ("sync_interval", "nan", INTERVAL),
    ("domains", "", "domains between commas or none"),
    ("domains", "a,B", "domains between commas or none"),
    ("trusted_proxies", "10.0.0.1/8", "networks between commas, such as 10.0.0.0/8 or none"),
    ("trusted_proxies", "proxy.example", "networks between commas, such as 10.0.0.0/8 or none"),
    ("write_origins", "*", "origins between commas, such as https://example.org or none"),
    ("write_origins", "null", "origins between commas, such as https://example.org or none"),
    ("write_origins", "https://example.org/", "origins between commas, such as https://example.org or none"),
    ("write_origins", "https://Example.org", "origins between commas, such as https://example.org or none"),
    ("write_origins", "https://example.org:443", "origins between commas, such as https://example.org or none"),
    ("data", "", "a path"),
    ("log_format", "xml", "one of auto, human, json"),
    ("link_compression", "2", "true or false"),
    ("tls_ca", "", "a path or none"),
]


@pytest.mark.parametrize(("name", "text", "expected"), WRONG)
def test_a_bad_value_is_refused_with_its_source_and_the_values_that_are_right(
    name: str, text: str, expected: str
) -> None:
    variable = f"DNARC_{name.upper()}"

    with pytest.raises(SettingsError) as refused:
        load(None, {variable: text}, {})

    assert str(refused.value) == f"{name} is {text!r} ({variable}): it should be {expected}"


UNKNOWN = [
    ("DNARC_MAXAGE", "did you mean DNARC_MAX_AGE?"),
    ("DNARC_ZZZ", "`dnarc config` lists them all"),
]


@pytest.mark.parametrize(("variable", "hint"), UNKNOWN)
def test_an_unknown_variable_is_refused_with_a_hint(variable: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(None, {variable: "1"}, {})

    assert str(refused.value) == f"{variable} in the environment is no setting: {hint}"


OF_A_SERVICE = {
    "DNARC_SERVICE_HOST": ("10.0.0.1", "fd00::1"),
    "DNARC_SERVICE_PORT": ("8080",),
    "DNARC_SERVICE_PORT_HTTP": ("8080",),
    "DNARC_PORT": ("tcp://10.0.0.1:8080", "udp://10.0.0.1:53", "tcp://[fd00::1]:8080"),
    "DNARC_PORT_8080_TCP": ("tcp://10.0.0.1:8080",),
    "DNARC_PORT_8080_TCP_PROTO": ("tcp",),
    "DNARC_PORT_8080_TCP_PORT": ("8080",),
    "DNARC_PORT_8080_TCP_ADDR": ("10.0.0.1", "fd00::1"),
    "DNARC_PORT_53_UDP": ("udp://10.0.0.1:53",),
    "DNARC_PORT_53_UDP_PROTO": ("udp",),
    "DNARC_PORT_38412_SCTP_ADDR": ("10.0.0.1",),
    "DNARC_FOO_SERVICE_HOST": ("10.0.0.1",),
    "DNARC_FOO_BAR_2_SERVICE_PORT_METRICS": ("9090",),
    "DNARC_FOO_PORT": ("tcp://10.0.0.1:8080",),
    "DNARC_NODE_PORT_443_TCP_ADDR": ("10.0.0.1",),
}
SERVICE_VARIABLES = [(variable, text) for variable, texts in OF_A_SERVICE.items() for text in texts]


@pytest.mark.parametrize(("variable", "text"), SERVICE_VARIABLES)
def test_a_variable_that_a_container_platform_sets_for_a_service_is_skipped(variable: str, text: str) -> None:
    loaded = load(None, {variable: text}, {"port": "1"})

    assert (loaded.settings, loaded.skipped) == (Settings(port=1), (variable,))
    assert loaded.sources["port"] == "--port"


NOT_OF_A_SERVICE = [
    ("DNARC_SERVICE_HOST", "dnarc.example"),
    ("DNARC_SERVICE_PORT", "http"),
    ("DNARC_PORT", "http://10.0.0.1:8080"),
    ("DNARC_PORT", "tcp://10.0.0.1"),
    ("DNARC_PORT", ""),
    ("DNARC_FOO_PORT", "8080"),
    ("DNARC_HOST_PORT", "8080"),
    ("DNARC_PORT_8080_TCP", "8080"),
    ("DNARC_PORT_HTTP_TCP_ADDR", "10.0.0.1"),
    ("DNARC_PORT_8080_TCP_NAME", "dnarc"),
    ("DNARC__SERVICE_HOST", "10.0.0.1"),
    ("DNARC_SERVICE_HOST ", "10.0.0.1"),
    ("DNARC_SERVICES_HOST", "10.0.0.1"),
]


@pytest.mark.parametrize(("variable", "text"), NOT_OF_A_SERVICE)
def test_a_variable_that_only_resembles_one_of_a_service_is_refused(variable: str, text: str) -> None:
    with pytest.raises(SettingsError):
        load(None, {variable: text}, {})


def test_a_port_that_an_operator_sets_is_no_variable_of_a_service() -> None:
    loaded = load(None, {"DNARC_PORT": "8081"}, {})

    assert (loaded.settings, loaded.skipped) == (Settings(port=8_081), ())


WRONG_FILES = [
    ("max_agee = 1", "max_agee in {file} is no setting: did you mean max_age?"),
    ('port = "80"', "port is '80' ({file}): it should be a whole number of at least 0 and at most 65535"),
    ("port =", "the settings file {file} is no TOML: Invalid value (at end of document)"),
    ("[node]\nport = 1", "node in {file} is no setting: `dnarc config` lists them all"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_FILES)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)

    with pytest.raises(SettingsError) as refused:
        load(file, {}, {})

    assert str(refused.value) == words.format(file=file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: no such file or directory \(check the path"):
        load(tmp_path / "absent.toml", {}, {})


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(SettingsError, match="prot among the flags is no setting: did you mean port"):
        load(None, {}, {"prot": "1"})


@pytest.mark.parametrize(
    "setting", [each for each in describe() if not each.is_table], ids=lambda setting: setting.name
)
def test_every_default_can_be_written_as_text(setting: object) -> None:
    """Otherwise the values that `dnarc config` shows could not be used as values."""
    [known] = [each for each in describe() if each == setting]

    settings = load(None, {known.variable: spell(known.default)}, {}).settings

    assert settings == Settings()


def test_every_setting_has_a_description() -> None:
    undescribed = [setting.name for setting in describe() if not setting.description or not setting.expected]

    assert undescribed == []


def test_no_other_variable_has_the_name_of_a_setting() -> None:
    assert {setting.variable for setting in describe()} & set(OTHER_VARIABLES) == set()


def test_settings_of_one_kind_are_declared_together() -> None:
    kinds = [setting.kind for setting in describe()]

    runs = [kind for number, kind in enumerate(kinds) if number == 0 or kinds[number - 1] != kind]

    assert runs == list(KINDS.values())


def test_a_witness_and_a_store_that_another_may_take_over_exclude_each_other() -> None:
    name = "w" + "a" * 52

    with pytest.raises(SettingsError, match=r"witness \(DNARC_WITNESS\) and store \(DNARC_STORE\) exclude each other"):
        load(None, {"DNARC_WITNESS": name, "DNARC_STORE": "postgresql://host/claims"}, {})


def test_a_password_in_a_bad_value_is_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        load(None, {"DNARC_STORE": "mysql://me:secret@host/claims"}, {})

    assert "store is 'mysql://me:***@host/claims' (DNARC_STORE): it should be a URL such as postgresql" in str(
        raised.value
    )
