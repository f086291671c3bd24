-- The photo application's tables. Rows that a page shows together lie together: lists are
-- WITHOUT ROWID tables keyed by whose list it is, and every page is bounded.
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL,
    full_name TEXT NOT NULL,
    biography TEXT NOT NULL,
    verified INTEGER NOT NULL,
    follower_count INTEGER NOT NULL,
    media_count INTEGER NOT NULL
);

CREATE TABLE follows (
    follower_id INTEGER NOT NULL,
    followee_id INTEGER NOT NULL,
    affinity REAL NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
) WITHOUT ROWID;
CREATE INDEX follows_by_followee ON follows (followee_id, follower_id);

CREATE TABLE media (
    id INTEGER PRIMARY KEY,
    author_id INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    caption TEXT NOT NULL,
    location TEXT NOT NULL,
    like_count INTEGER NOT NULL DEFAULT 0,
    comment_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX media_by_author ON media (author_id, id);

-- What a user's feed is chosen from, filled by the fan-out task.
CREATE TABLE feed_entries (
    user_id INTEGER NOT NULL,
    media_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, media_id)
) WITHOUT ROWID;

CREATE TABLE fan_out_jobs (
    media_id INTEGER PRIMARY KEY
);

CREATE TABLE likes (
    media_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    PRIMARY KEY (media_id, user_id)
) WITHOUT ROWID;

CREATE TABLE comments (
    id INTEGER PRIMARY KEY,
    media_id INTEGER NOT NULL,
    author_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX comments_by_media ON comments (media_id, id);

CREATE TABLE stories (
    id INTEGER PRIMARY KEY,
    author_id INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL
);
CREATE INDEX stories_by_author ON stories (author_id, id);

-- Per viewer and author the newest story seen.
CREATE TABLE story_seen (
    user_id INTEGER NOT NULL,
    author_id INTEGER NOT NULL,
    story_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, author_id)
) WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    recipient_id INTEGER NOT NULL,
    sender_id INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    is_read INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX messages_by_recipient ON messages (recipient_id, id);

-- Ranking models as the (imagined) training job publishes them: JSON.
CREATE TABLE ranking_models (
    name TEXT PRIMARY KEY,
    model TEXT NOT NULL
);
