"""Assertions of the store contract are explained like those of any test module."""

import pytest

pytest.register_assert_rewrite("tests.node.store")
