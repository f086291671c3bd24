-- What is in of a history that is copied into this file, part by part, each in the transaction that brings it.
CREATE TABLE copies (
    source TEXT NOT NULL,
    part TEXT NOT NULL,
    PRIMARY KEY (source, part)
) WITHOUT ROWID;
