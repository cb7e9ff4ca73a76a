"""What all tests share: property tests without time limits, the same examples every time."""

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)  # a busy machine is no failure
settings.register_profile("search", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=search
settings.load_profile("house")


def pytest_terminal_summary(terminalreporter):
    """Print figures that tests recorded."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(f"{report.nodeid}: {text}")
