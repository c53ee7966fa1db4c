"""How many examples hypothesis tries in a test whose examples take long.

Such a test names a share of the examples that other tests try. A fixed number would stay the same in the profile
`thorough`.
"""

from hypothesis import settings


def percent(share: int) -> settings:
    """Settings of a test, as a decorator: of 100 examples that another test tries, this test tries so many."""
    return settings(max_examples=settings().max_examples * share // 100)
