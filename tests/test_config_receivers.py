"""[[alarms.notify]]: every mistake in a receiver at its path, their names, and secrets from the environment."""

import pytest
from test_config import changed, problems_of

from stream_app.config import parse, receivers

MAIL = 'email = "a@b.c"\nfrom = "d@b.c"\n'
MISTAKEN_RECEIVERS = [  # lines of the table, the key that is wrong, what is said of it
    ('webhook = "http://x"\nlog = true', "", "has webhook and log; write exactly one of"),
    ('webhook = "x"', ".webhook", "http://"),
    ('webhook = "http://"', ".webhook", "a host"),
    ('webhook = "http://x:99999"', ".webhook", "http://"),
    ('webhook = "http://x:9093/api/v2/alerts"', ".webhook", "write alertmanager ="),
    ('alertmanager = "x:9093"', ".alertmanager", "http://"),
    ('exec = " "', ".exec", "is empty"),
    ('webhook = "http://x"\nsecret = ""', ".secret", "prove nothing"),
    ('alertmanager = "http://x"\nsecret = "s"', ".secret", "is for webhook"),
    ('log = true\nheaders = { A = "b" }', ".headers", "is for webhook and alertmanager"),
    ('webhook = "http://x"\nheaders = { "A b" = "c" }', '.headers["A b"]', "no header"),
    ('webhook = "http://x"\nheaders = { A = "b\\r\\nC: d" }', ".headers.A", "one line"),
    ('log = true\nfrom = "a@b.c"', ".from", "is for email"),
    ('log = true\nname = "a/b"', ".name", "bad name"),
    ('log = true\nname = "a"\n[[alarms.notify]]\nlog = true\nname = "a"', None, "twice"),
    ("log = true\nstreams = []", ".streams", "is empty"),
    ('log = true\nstreams = ["alert"]', ".streams[0]", 'did you mean "alerts"?'),
    ('log = true\nstreams = ["alerts", "alerts"]', ".streams[1]", "twice"),
    ('alertmanager = "http://x"\nstreams = ["triggers"]', ".streams[0]", "alerts only"),
    ('log = true\nseverity = "bad"', ".severity", "known: info, warning, critical"),
    ('log = true\ntimeout = "0s"', ".timeout", "more than 0"),
    ("log = true\nattempts = 0", ".attempts", "more than 0"),
    ('email = "a@b.c"\nsmtp = "h"', ".from", "missing"),
    ('email = "a@b.c, d@e.f"\nfrom = "d@b.c"\nsmtp = "h"', ".email", "not one address"),
    (MAIL, ".smtp", "missing"),
    (MAIL + 'smtp = "http://h"', ".smtp", "write for example"),
    (MAIL + 'smtp = "h:0"', ".smtp", "write for example"),
    (MAIL + 'smtp = "h"\nusername = "u"', ".password", "both"),
    (MAIL + 'smtp = "h:587"\nusername = "u"\npassword = "p"', ".starttls", "unencrypted"),
]


@pytest.mark.parametrize(
    ("lines", "key", "word"), MISTAKEN_RECEIVERS, ids=[f"{m[1]}-{m[2]}" for m in MISTAKEN_RECEIVERS]
)
def test_a_mistake_in_a_receiver_is_one_problem_at_its_path(lines: str, key: str | None, word: str) -> None:
    (problem,) = problems_of(changed(("[retrain]", f"[[alarms.notify]]\n{lines}\n[retrain]")))
    path = "$.alarms.notify[1].name" if key is None else f"$.alarms.notify[0]{key}"

    assert problem.startswith(f"{path}: ")
    assert word in problem


def test_receivers_are_named_by_their_kind_and_secrets_come_from_the_environment() -> None:
    mail = MAIL + 'smtp = "[::1]:587"\nusername = "u"\npassword = "${PASSWORD}"'
    tables = [
        'webhook = "https://x/a"', 'webhook = "https://x/b"\nname = "webhook-2"', 'webhook = "https://x/c"', mail,
        'exec = "true"', "log = true", 'alertmanager = "http://x:9093"\nseverity = "info"',
    ]  # fmt: skip
    text = changed(("[retrain]", "".join(f"[[alarms.notify]]\n{lines}\n" for lines in tables) + "[retrain]"))
    found = receivers(parse(text, "c.toml", {"PASSWORD": "p"}))

    assert list(found) == ["webhook", "webhook-2", "webhook-3", "email", "exec", "log", "alertmanager"]
    assert found["webhook-3"].webhook == "https://x/c"
    assert found["email"].password == "p"
