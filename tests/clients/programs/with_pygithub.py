"""PyGithub, pointed at the admin listener."""

import json
import os

import github
import requests
from github.Copilot import Copilot

base_url, organization, day = os.environ["BASE_URL"], os.environ["ORGANIZATION"], os.environ["DAY"]


def client(token):
    return github.Github(base_url=base_url, auth=github.Auth.Token(token), per_page=1, retry=None).requester


def status(question):
    try:
        return question()
    except github.GithubException as error:
        return error.status


def ask(path, **parameters):
    return requester.requestJsonAndCheck("GET", f"/orgs/{organization}/copilot/{path}", parameters=parameters)[1]


requester = client(os.environ["TOKEN"])
links = ask("metrics/reports/users-1-day", day=day)["download_links"]
lines = [line for link in links for line in requests.get(link).text.splitlines()]
found = {
    "seats": [seat.assignee.login for seat in Copilot(requester, organization).get_seats()],
    "users": [json.loads(line)["user_login"] for line in lines],
    "days": [one["date"] for one in ask("metrics", since=day, until=day)],
    "elsewhere": status(lambda: list(Copilot(requester, "nobody").get_seats())),
    "refused": status(lambda: list(Copilot(client("cpl_wrong"), organization).get_seats())),
}
print(json.dumps(found))
