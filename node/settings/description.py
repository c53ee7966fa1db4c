"""What a person needs to know about each setting. Help, documentation and errors are made of it."""

from typing import Final

import msgspec
from msgspec import inspect

from node.passwords import hidden
from node.settings.items import ITEMS, TEXTS
from node.settings.settings import KINDS, Settings
from node.settings.write_tables import spell_tables
from protocol.records.write_policy import WritePolicy

PREFIX: Final = "DNARC_"


class Setting(msgspec.Struct, frozen=True):
    """What a person needs to know about a setting.

    `expected` describes its values in words. `unit` is empty if the values have no unit. `is_table`: its value is a
    table of the settings file, so it has neither a flag nor a variable.
    """

    name: str
    kind: str
    description: str
    unit: str
    expected: str
    default: object
    is_table: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


def describe() -> list[Setting]:
    """All settings, in the order in which `Settings` declares them."""
    return list(_SETTINGS.values())


def spell(value: object) -> str:
    """A value as an operator writes it, without passwords: `none` for None, commas between the items of a list."""
    if value is None:
        return "none"
    if isinstance(value, WritePolicy):
        return spell_tables(value)
    if isinstance(value, bool):
        return str(value).lower()
    return hidden(",".join(map(str, value)) if isinstance(value, list) else str(value))


def parts_of(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """The alternatives of a union, or a single other type, without its metadata."""
    if isinstance(kind, inspect.Metadata):
        return parts_of(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(part for each in kind.types for part in parts_of(each))
    return (kind,)


def _words(name: str, kind: inspect.Type) -> str:
    """A description of the values that a setting of this type takes, for people."""
    match kind:
        case inspect.NoneType():
            return "none"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.ListType():
            return ITEMS[name].words
        case inspect.CustomType():
            return "a path"
        case inspect.StructType():
            return "a table of the settings file"
        case _:
            return TEXTS.get(name, "a text")


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    words = ((kind.ge, "of at least"), (kind.gt, "above"), (kind.le, "and at most"))
    return "".join(f" {word} {bound}" for bound, word in words if bound is not None)


def _setting_of(field: inspect.Field, kind: str) -> Setting:
    about, unit = _metadata(field.type)
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    expected = " or ".join(_words(field.name, part) for part in parts_of(field.type))
    is_table = isinstance(parts_of(field.type)[0], inspect.StructType)
    return Setting(field.name, kind, about, unit, expected, default, is_table)


def _metadata(kind: inspect.Type) -> tuple[str, str]:
    """The description and the unit in the metadata of a type."""
    assert isinstance(kind, inspect.Metadata), "every setting has a description"
    assert kind.extra_json_schema, "every setting has a description"
    assert kind.extra, "every setting has a unit, which may be empty"
    return kind.extra_json_schema["description"], kind.extra["unit"]


def _all_settings() -> dict[str, Setting]:
    struct = inspect.type_info(Settings)
    assert isinstance(struct, inspect.StructType), "settings are a struct"
    settings, kind = {}, ""
    for field in struct.fields:
        kind = KINDS.get(field.name, kind)
        settings[field.name] = _setting_of(field, kind)
    return settings


_SETTINGS: Final = _all_settings()
