-- What an event tells beside the first version's columns.
ALTER TABLE usage_event ADD COLUMN session_id           TEXT;
ALTER TABLE usage_event ADD COLUMN account              TEXT;
ALTER TABLE usage_event ADD COLUMN action               TEXT;
ALTER TABLE usage_event ADD COLUMN cache_written_tokens INTEGER;
ALTER TABLE usage_event ADD COLUMN reasoning_tokens     INTEGER;
ALTER TABLE usage_event ADD COLUMN nano_aiu             INTEGER;
ALTER TABLE usage_event ADD COLUMN edit_files           INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_event ADD COLUMN edit_lines_added     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_event ADD COLUMN edit_lines_removed   INTEGER NOT NULL DEFAULT 0;

-- Chat turns alone, which are few.
CREATE INDEX usage_event_by_interaction ON usage_event (user, interaction_id)
    WHERE interaction_id IS NOT NULL AND class = 'turn' AND kind = 'chat';

-- One row a suggestion that telemetry told of: what all its reports say together. NULL is unknown. There are about as many as
-- exchanges, so ids of clients are kept as digests: 16 bytes, whatever a client sends.
CREATE TABLE suggestion (
    user                TEXT    NOT NULL,
    id                  BLOB    NOT NULL, -- digest of the suggestion's id
    request             BLOB,             -- digest of the exchange's request id
    day                 TEXT    NOT NULL, -- that of the exchange, else that on which telemetry came first
    is_booked           INTEGER NOT NULL, -- whether it is the exchange's
    is_next_edit        INTEGER NOT NULL,
    shown               INTEGER NOT NULL,
    accepted            INTEGER NOT NULL,
    accepted_fully      INTEGER NOT NULL,
    rejected            INTEGER NOT NULL,
    lines_shown         INTEGER,
    lines_accepted      INTEGER,
    characters_shown    INTEGER,
    characters_accepted INTEGER,
    kept_s              INTEGER,          -- seconds after acceptance of the last look that found it in the code
    lost_s              INTEGER,          -- and of the last one that did not
    language            TEXT,
    model               TEXT,
    editor              TEXT,
    PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX suggestion_by_request ON suggestion (user, request) WHERE request IS NOT NULL;

-- One row for what a person did with a part of a chat answer.
CREATE TABLE chat_action (
    user       TEXT    NOT NULL,
    id         BLOB    NOT NULL, -- digest of the action's key
    exchange   BLOB,             -- digest of the exchange's request id, or of its interaction id where that alone is told
    day        TEXT    NOT NULL, -- that of the exchange, else that on which telemetry came first
    is_booked  INTEGER NOT NULL, -- whether it is the exchange's
    kind       TEXT    NOT NULL,
    lines      INTEGER,
    characters INTEGER,
    language   TEXT,
    model      TEXT,
    PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX chat_action_by_exchange ON chat_action (user, exchange) WHERE exchange IS NOT NULL;

-- One row a session of the CLI that ended.
CREATE TABLE cli_session (
    user             TEXT    NOT NULL,
    id               BLOB    NOT NULL, -- digest of the session's id
    day              TEXT    NOT NULL, -- on which telemetry told it first
    lines_added      INTEGER,
    lines_removed    INTEGER,
    files_modified   INTEGER,
    premium_requests REAL,
    nano_aiu         INTEGER,
    PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;

-- The sums of the three tables above, kept in step with them, so that a day's file does not cost more the more the day has.
CREATE TABLE acceptance (
    day                            TEXT    NOT NULL,
    user                           TEXT    NOT NULL,
    telemetry                      INTEGER NOT NULL, -- whether any editor's came on this day
    facts                          INTEGER NOT NULL, -- rows of the three tables that are booked here
    completions_shown              INTEGER NOT NULL,
    completions_accepted           INTEGER NOT NULL,
    completions_accepted_partially INTEGER NOT NULL,
    completions_rejected           INTEGER NOT NULL,
    completions_lines_shown        INTEGER NOT NULL,
    completions_lines_accepted     INTEGER NOT NULL,
    completions_chars_shown        INTEGER NOT NULL,
    completions_chars_accepted     INTEGER NOT NULL,
    completions_kept               INTEGER NOT NULL,
    completions_lost               INTEGER NOT NULL,
    next_edits_shown               INTEGER NOT NULL,
    next_edits_accepted            INTEGER NOT NULL,
    next_edits_accepted_partially  INTEGER NOT NULL,
    next_edits_rejected            INTEGER NOT NULL,
    next_edits_lines_shown         INTEGER NOT NULL,
    next_edits_lines_accepted      INTEGER NOT NULL,
    next_edits_chars_shown         INTEGER NOT NULL,
    next_edits_chars_accepted      INTEGER NOT NULL,
    next_edits_kept                INTEGER NOT NULL,
    next_edits_lost                INTEGER NOT NULL,
    chat_copied                    INTEGER NOT NULL,
    chat_inserted                  INTEGER NOT NULL,
    chat_applied                   INTEGER NOT NULL,
    chat_edits_kept                INTEGER NOT NULL,
    chat_edits_undone              INTEGER NOT NULL,
    chat_lines                     INTEGER NOT NULL,
    sessions                       INTEGER NOT NULL,
    sessions_lines_added           INTEGER NOT NULL,
    sessions_lines_removed         INTEGER NOT NULL,
    sessions_files_modified        INTEGER NOT NULL,
    PRIMARY KEY (day, user)
) STRICT, WITHOUT ROWID;

-- GitHub accounts that a user's requests used.
CREATE TABLE account (
    user      TEXT NOT NULL,
    account   TEXT NOT NULL, -- its key, or `login:` and its login in lower case where the key is not known
    first_day TEXT NOT NULL,
    last_day  TEXT NOT NULL,
    facts     TEXT NOT NULL, -- what is known of it, each with when it was told, as JSON: see `store::account::Facts`
    PRIMARY KEY (user, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX account_by_day ON account (last_day, first_day);

-- What is left of each user's allowances, as last seen.
CREATE TABLE quota (
    user              TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    seen_us           INTEGER NOT NULL,
    seen_in           BLOB    NOT NULL, -- id of the exchange
    entitlement       REAL,
    percent_remaining REAL,
    overage           REAL,
    overage_permitted INTEGER,
    resets_at         TEXT,
    PRIMARY KEY (user, name)
) STRICT, WITHOUT ROWID;
