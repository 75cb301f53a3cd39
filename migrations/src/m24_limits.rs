//! Microsoft's request limits as slots: a limit of `units` in `period` is so many slots, each free
//! again when the period has passed since it was taken. All workers share them.

table![
    "CREATE TABLE limit_slots (
        name TEXT NOT NULL,
        slot BIGINT NOT NULL,
        taken_at BIGINT NOT NULL,
        PRIMARY KEY (name, slot)
    )",
];
