"""githubkit, whose models are made of GitHub's OpenAPI description; its release of when `/copilot/metrics` was still in there.

Asks for everything that is described, as a program for api.github.com does. An answer that the description does not allow
raises; so does a field that it does not know. Prints what came, as JSON.
"""

import json
import os
import sys

import httpx
from githubkit import GitHub
from pydantic import BaseModel

BASE_URL = os.environ["BASE_URL"]
DAY = os.environ["DAY"]
ORGANIZATION = "example"

github = GitHub(os.environ["TOKEN"], base_url=BASE_URL, http_cache=False)
copilot = github.rest("2022-11-28").copilot


def assert_known(told, model, path):
    """Whether every field of the answer is one of the model's, all the way down."""
    if isinstance(told, list):
        for number, item in enumerate(told):
            assert_known(item, model[number], f"{path}[{number}]")
    elif isinstance(model, BaseModel):
        fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
        for name, value in told.items():
            if name not in fields:
                sys.exit(f"{path}.{name} is no field of {type(model).__name__}")
            assert_known(value, getattr(model, fields[name]), f"{path}.{name}")


def checked(answer):
    assert_known(answer.json(), answer.parsed_data, answer.url.path)
    return answer.json()


def report(path, **parameters):
    """The records that a link document leads to. The links need no credentials."""
    document = github.request("GET", f"/orgs/{ORGANIZATION}/copilot/metrics/reports/{path}", params=parameters).json()
    texts = [httpx.get(link, trust_env=False).raise_for_status().text for link in document.pop("download_links")]
    return {"document": document, "records": [json.loads(line) for text in texts for line in text.splitlines()]}


json.dump(
    {
        "metrics": checked(copilot.copilot_metrics_for_organization(ORGANIZATION, since=DAY, until=DAY)),
        "team": checked(copilot.copilot_metrics_for_team(ORGANIZATION, "core-team", since=DAY, until=DAY)),
        "billing": checked(copilot.get_copilot_organization_details(ORGANIZATION)),
        "seats": checked(copilot.list_copilot_seats(ORGANIZATION)),
        "users": report("users-1-day", day=DAY),
        "organization": report("organization-1-day", day=DAY),
        "teams": report("user-teams-1-day", day=DAY),
    },
    sys.stdout,
)
