-- One row an exchange: the columns are the fields of `usage::UsageEvent`. NULL is unknown.
CREATE TABLE usage_event (
    id                   BLOB    NOT NULL PRIMARY KEY, -- 16 bytes, UUIDv7
    day                  TEXT    NOT NULL,             -- UTC date of ended_us, as 2024-12-28
    user                 TEXT    NOT NULL,
    started_us           INTEGER NOT NULL,             -- microseconds since 1970-01-01T00:00:00Z
    ended_us             INTEGER NOT NULL,
    kind                 TEXT    NOT NULL,
    class                TEXT    NOT NULL,
    reason               TEXT,
    outcome              TEXT    NOT NULL,
    status               INTEGER,
    feature              TEXT    NOT NULL,
    ide                  TEXT,
    editor               TEXT,
    plugin               TEXT,
    machine_id           TEXT,
    language             TEXT,
    model                TEXT,
    model_version        TEXT,
    request_id           TEXT,
    interaction_id       TEXT,
    host                 TEXT    NOT NULL,
    streamed             INTEGER NOT NULL,
    input_tokens         INTEGER,
    output_tokens        INTEGER,
    cached_tokens        INTEGER,
    generations          INTEGER NOT NULL,
    lines_suggested      INTEGER NOT NULL,
    characters_suggested INTEGER NOT NULL,
    first_byte_ms        REAL,
    duration_ms          REAL    NOT NULL,
    request_bytes        INTEGER NOT NULL,
    response_bytes       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_event_by_day ON usage_event (day, user);
CREATE INDEX usage_event_by_request ON usage_event (user, request_id) WHERE request_id IS NOT NULL;
