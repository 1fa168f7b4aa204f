-- Roll-ups: all of them follow from the tables of the versions before, and are made anew for each day of a user in `stale`.
-- What is in a BLOB is packed by `store::rollup::packed`.

-- One row a day of a user on which anything counts, or telemetry came: see `usage::UserDay`.
CREATE TABLE user_day (
    day  TEXT NOT NULL, -- as 2024-12-28
    user TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (day, user)
) STRICT, WITHOUT ROWID;

-- The sum of a day's rows of user_day.
CREATE TABLE organization_day (
    day  TEXT NOT NULL PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The day's `usage::OrganizationSums`: a month of them is read at once.
CREATE TABLE organization_sums (
    day  TEXT NOT NULL PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The sums of each of a user's days in a month, and of each of the months in a year: a year of everybody is asked for at once.
CREATE TABLE user_month (
    month TEXT NOT NULL, -- its first day
    user  TEXT NOT NULL,
    days  BLOB NOT NULL,
    PRIMARY KEY (month, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_year (
    year   TEXT NOT NULL, -- its first day
    user   TEXT NOT NULL,
    months BLOB NOT NULL,
    PRIMARY KEY (year, user)
) STRICT, WITHOUT ROWID;

-- The client that a user was last seen with.
CREATE TABLE user_client (
    user   TEXT NOT NULL PRIMARY KEY,
    client BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Days of users whose roll-ups are to be made anew, each once, in the order in which they first changed. Whoever changes something
-- they follow from adds a row, in the same transaction.
CREATE TABLE stale (
    seq  INTEGER NOT NULL PRIMARY KEY,
    day  TEXT    NOT NULL,
    user TEXT    NOT NULL,
    UNIQUE (day, user)
) STRICT;

CREATE INDEX suggestion_by_day ON suggestion (day, user);
CREATE INDEX chat_action_by_day ON chat_action (day, user);

INSERT INTO stale (day, user)
SELECT day, user FROM usage_event
UNION
SELECT day, user FROM acceptance
ORDER BY day, user;
