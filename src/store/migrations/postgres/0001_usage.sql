-- Tables and columns are those of the SQLite store; days and times are PostgreSQL's own. NULL is unknown. Text is compared byte
-- by byte, as everywhere in copilens.

-- The schema's version, in one row.
CREATE TABLE copilens_schema (
    version INTEGER NOT NULL
);

-- One row a log folder whose proxy writes here.
CREATE TABLE origin (
    id       INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL UNIQUE,
    is_whole BOOLEAN NOT NULL DEFAULT FALSE -- whether all that its records tell is here
);

-- One row an exchange: the columns are the fields of `usage::UsageEvent`.
CREATE TABLE usage_event (
    id                   BYTEA NOT NULL PRIMARY KEY, -- 16 bytes, UUIDv7
    day                  DATE NOT NULL,              -- UTC date of ended_at
    user_name            TEXT COLLATE "C" NOT NULL,
    started_at           TIMESTAMPTZ NOT NULL,
    ended_at             TIMESTAMPTZ NOT NULL,
    kind                 TEXT NOT NULL,
    class                TEXT NOT NULL,
    reason               TEXT,
    outcome              TEXT NOT NULL,
    status               INTEGER,
    feature              TEXT NOT NULL,
    ide                  TEXT,
    editor               TEXT,
    plugin               TEXT,
    machine_id           TEXT,
    session_id           TEXT,
    account              TEXT,
    action               TEXT,
    language             TEXT,
    model                TEXT,
    model_version        TEXT,
    request_id           TEXT COLLATE "C",
    interaction_id       TEXT COLLATE "C",
    host                 TEXT NOT NULL,
    streamed             BOOLEAN NOT NULL,
    input_tokens         BIGINT,
    output_tokens        BIGINT,
    cached_tokens        BIGINT,
    cache_written_tokens BIGINT,
    reasoning_tokens     BIGINT,
    nano_aiu             BIGINT,
    edit_files           BIGINT NOT NULL,
    edit_lines_added     BIGINT NOT NULL,
    edit_lines_removed   BIGINT NOT NULL,
    generations          BIGINT NOT NULL,
    lines_suggested      BIGINT NOT NULL,
    characters_suggested BIGINT NOT NULL,
    first_byte_ms        DOUBLE PRECISION,
    duration_ms          DOUBLE PRECISION NOT NULL,
    request_bytes        BIGINT NOT NULL,
    response_bytes       BIGINT NOT NULL,
    origin               INTEGER NOT NULL REFERENCES origin (id)
);

CREATE INDEX usage_event_by_day ON usage_event (day, user_name, id);
-- By hashes: ids are a client's text, of any length, and an index's entries are not.
CREATE INDEX usage_event_by_request ON usage_event (user_name, hashtextextended(request_id, 0))
    WHERE request_id IS NOT NULL;
-- Chat turns alone, which are few.
CREATE INDEX usage_event_by_interaction ON usage_event (user_name, hashtextextended(interaction_id, 0))
    WHERE interaction_id IS NOT NULL AND class = 'turn' AND kind = 'chat';

-- One row a suggestion that telemetry told of: what all its reports say together. Ids of clients are kept as digests.
CREATE TABLE suggestion (
    user_name           TEXT COLLATE "C" NOT NULL,
    id                  BYTEA NOT NULL,   -- digest of the suggestion's id
    request             BYTEA,            -- digest of the exchange's request id
    day                 DATE NOT NULL,    -- that of the exchange, else that on which telemetry came first
    is_booked           BOOLEAN NOT NULL, -- whether it is the exchange's
    is_next_edit        BOOLEAN NOT NULL,
    shown               BOOLEAN NOT NULL,
    accepted            BOOLEAN NOT NULL,
    accepted_fully      BOOLEAN NOT NULL,
    rejected            BOOLEAN NOT NULL,
    lines_shown         BIGINT,
    lines_accepted      BIGINT,
    characters_shown    BIGINT,
    characters_accepted BIGINT,
    kept_s              BIGINT,           -- seconds after acceptance of the last look that found it in the code
    lost_s              BIGINT,           -- and of the last one that did not
    language            TEXT,
    model               TEXT,
    editor              TEXT,
    PRIMARY KEY (user_name, id)
);

CREATE INDEX suggestion_by_request ON suggestion (user_name, request) WHERE request IS NOT NULL;

-- One row for what a person did with a part of a chat answer.
CREATE TABLE chat_action (
    user_name  TEXT COLLATE "C" NOT NULL,
    id         BYTEA NOT NULL,   -- digest of the action's key
    exchange   BYTEA,            -- digest of the exchange's request id, or of its interaction id where that alone is told
    day        DATE NOT NULL,    -- that of the exchange, else that on which telemetry came first
    is_booked  BOOLEAN NOT NULL, -- whether it is the exchange's
    kind       TEXT NOT NULL,
    lines      BIGINT,
    characters BIGINT,
    language   TEXT,
    model      TEXT,
    PRIMARY KEY (user_name, id)
);

CREATE INDEX chat_action_by_exchange ON chat_action (user_name, exchange) WHERE exchange IS NOT NULL;

-- One row a session of the CLI that ended.
CREATE TABLE cli_session (
    user_name        TEXT COLLATE "C" NOT NULL,
    id               BYTEA NOT NULL, -- digest of the session's id
    day              DATE NOT NULL,  -- on which telemetry told it first
    lines_added      BIGINT,
    lines_removed    BIGINT,
    files_modified   BIGINT,
    premium_requests DOUBLE PRECISION,
    nano_aiu         BIGINT,
    PRIMARY KEY (user_name, id)
);

-- The sums of the three tables above, kept in step with them, so that a day's file does not cost more the more the day has.
CREATE TABLE acceptance (
    day       DATE NOT NULL,
    user_name TEXT COLLATE "C" NOT NULL,
    telemetry BOOLEAN NOT NULL,  -- whether any editor's came on this day
    facts     BIGINT NOT NULL,   -- rows of the three tables that are booked here
    counts    BIGINT[] NOT NULL, -- in the order of `usage::Acceptance::counters`
    PRIMARY KEY (day, user_name)
);

-- GitHub accounts that a user's requests used.
CREATE TABLE account (
    user_name TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL, -- its key, or `login:` and its login in lower case where the key is not known
    first_day DATE NOT NULL,
    last_day  DATE NOT NULL,
    facts     TEXT NOT NULL, -- what is known of it, each with when it was told, as JSON: see `store::account::Facts`
    PRIMARY KEY (user_name, account)
);

CREATE INDEX account_by_day ON account (last_day, first_day);

-- What is left of each user's allowances, as last seen.
CREATE TABLE quota (
    user_name         TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    seen_at           TIMESTAMPTZ NOT NULL,
    seen_in           BYTEA NOT NULL, -- id of the exchange
    entitlement       DOUBLE PRECISION,
    percent_remaining DOUBLE PRECISION,
    overage           DOUBLE PRECISION,
    overage_permitted BOOLEAN,
    resets_at         TEXT,
    PRIMARY KEY (user_name, name)
);

-- Roll-ups: all of them follow from the tables above, and are made anew for each day of a user in `stale`. What is in a BYTEA
-- `data`, `days`, `months` or `client` is packed by `store::rollup::packed`.

CREATE INDEX suggestion_by_day ON suggestion (day, user_name, id);
CREATE INDEX chat_action_by_day ON chat_action (day, user_name, id);

-- One row a day of a user on which anything counts, or telemetry came: see `usage::UserDay`.
CREATE TABLE user_day (
    day       DATE NOT NULL,
    user_name TEXT COLLATE "C" NOT NULL,
    data      BYTEA NOT NULL,
    PRIMARY KEY (day, user_name)
);

-- The sum of a day's rows of user_day.
CREATE TABLE organization_day (
    day  DATE NOT NULL PRIMARY KEY,
    data BYTEA NOT NULL
);

-- The day's `usage::OrganizationSums`: a month of them is read at once.
CREATE TABLE organization_sums (
    day  DATE PRIMARY KEY,
    data BYTEA NOT NULL
);

-- The sums of each of a user's days in a month, and of each of the months in a year: a year of everybody is asked for at once.
CREATE TABLE user_month (
    month     DATE NOT NULL, -- its first day
    user_name TEXT COLLATE "C" NOT NULL,
    days      BYTEA NOT NULL,
    PRIMARY KEY (month, user_name)
);

CREATE TABLE user_year (
    year      DATE NOT NULL, -- its first day
    user_name TEXT COLLATE "C" NOT NULL,
    months    BYTEA NOT NULL,
    PRIMARY KEY (year, user_name)
);

-- The client that a user was last seen with.
CREATE TABLE user_client (
    user_name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    client    BYTEA NOT NULL
);

-- Days of users whose roll-ups are to be made anew. Whoever changes something they follow from adds a row, in the same
-- transaction, and changes none: so the proxies do not wait for each other.
CREATE TABLE stale (
    seq       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day       DATE NOT NULL,
    user_name TEXT COLLATE "C" NOT NULL
);

CREATE INDEX stale_by_day ON stale (day, user_name);
