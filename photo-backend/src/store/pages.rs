//! What the pages are read with. Every list is bounded, so that no page grows with the data.

use appweight_agent::profiled;
use rusqlite::{OptionalExtension, Row, ToSql};

use super::{CommentRow, MediaRow, MessageRow, Store, StoreError, StoryRow, UserRow};

const FEED_CANDIDATES: &str = "
    SELECT media.id, media.author_id, media.taken_at, media.width, media.height, media.caption,
           media.location, media.like_count, media.comment_count,
           likes.user_id IS NOT NULL, coalesce(follows.affinity, 0.0),
           (SELECT count(*)
            FROM (SELECT user_id FROM likes WHERE media_id = media.id LIMIT 8) AS fans
            JOIN follows AS friends
                ON friends.follower_id = ?1 AND friends.followee_id = fans.user_id)
    FROM feed_entries
    JOIN media ON media.id = feed_entries.media_id
    LEFT JOIN likes ON likes.media_id = media.id AND likes.user_id = ?1
    LEFT JOIN follows ON follows.follower_id = ?1 AND follows.followee_id = media.author_id
    WHERE feed_entries.user_id = ?1
    ORDER BY feed_entries.media_id DESC
    LIMIT ?2";

const TIMELINE: &str = "
    SELECT media.id, media.author_id, media.taken_at, media.width, media.height, media.caption,
           media.location, media.like_count, media.comment_count,
           likes.user_id IS NOT NULL, 1.0, 0
    FROM media
    LEFT JOIN likes ON likes.media_id = media.id AND likes.user_id = ?2
    WHERE media.author_id = ?1
    ORDER BY media.id DESC
    LIMIT ?3";

const USER: &str = "
    SELECT id, username, full_name, biography, verified, follower_count, media_count
    FROM users WHERE id = ?1";

const USERS: &str = "
    SELECT id, username, full_name, biography, verified, follower_count, media_count
    FROM users WHERE id IN (SELECT value FROM json_each(?1))";

const STORIES: &str = "
    SELECT stories.id, stories.author_id, stories.taken_at, stories.duration_ms,
           users.username, users.verified, followed.affinity, coalesce(story_seen.story_id, 0)
    FROM (SELECT followee_id, affinity FROM follows WHERE follower_id = ?1 LIMIT ?2) AS followed
    JOIN users ON users.id = followed.followee_id
    JOIN stories ON stories.author_id = followed.followee_id
    LEFT JOIN story_seen
        ON story_seen.user_id = ?1 AND story_seen.author_id = followed.followee_id
    ORDER BY followed.followee_id, stories.id";

const INBOX: &str = "
    SELECT messages.id, messages.sender_id, messages.sent_at, messages.is_read, messages.text,
           forth.follower_id IS NOT NULL, back.follower_id IS NOT NULL,
           coalesce((SELECT max(id) FROM stories WHERE author_id = messages.sender_id), 0),
           coalesce(story_seen.story_id, 0),
           (SELECT count(*)
            FROM (SELECT followee_id FROM follows WHERE follower_id = messages.sender_id LIMIT 5)
                AS theirs
            JOIN follows AS mine
                ON mine.follower_id = ?1 AND mine.followee_id = theirs.followee_id)
    FROM messages
    LEFT JOIN follows AS forth
        ON forth.follower_id = ?1 AND forth.followee_id = messages.sender_id
    LEFT JOIN follows AS back
        ON back.follower_id = messages.sender_id AND back.followee_id = ?1
    LEFT JOIN story_seen
        ON story_seen.user_id = ?1 AND story_seen.author_id = messages.sender_id
    WHERE messages.recipient_id = ?1
    ORDER BY messages.id DESC
    LIMIT ?2";

const COMMENTS: &str = "
    SELECT comments.id, comments.media_id, users.username, comments.created_at, comments.text
    FROM json_each(?1) AS page
    JOIN comments ON comments.id IN
        (SELECT id FROM comments WHERE media_id = page.value ORDER BY id DESC LIMIT ?2)
    JOIN users ON users.id = comments.author_id
    ORDER BY page.key, comments.id";

const FOLLOWS: &str = "SELECT 1 FROM follows WHERE follower_id = ?1 AND followee_id = ?2";

impl Store {
    /// The newest posts that a user's feed is chosen from.
    #[profiled]
    pub(crate) fn feed_candidates(
        &self,
        viewer: i64,
        limit: u32,
    ) -> Result<Vec<MediaRow>, StoreError> {
        self.rows(FEED_CANDIDATES, &[&viewer, &limit], MediaRow::read)
    }

    /// One user's newest posts.
    #[profiled]
    pub(crate) fn timeline(
        &self,
        author: i64,
        viewer: i64,
        limit: u32,
    ) -> Result<Vec<MediaRow>, StoreError> {
        self.rows(TIMELINE, &[&author, &viewer, &limit], MediaRow::read)
    }

    /// One user.
    #[profiled]
    pub(crate) fn user(&self, id: i64) -> Result<Option<UserRow>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(USER)?
                .query_row([id], UserRow::read)
                .optional()
        })
    }

    /// Several users by one query, in no order.
    #[profiled]
    pub(crate) fn users_in(&self, ids: &[i64]) -> Result<Vec<UserRow>, StoreError> {
        let ids = serde_json::to_string(ids)?;
        self.rows(USERS, &[&ids], UserRow::read)
    }

    /// The stories of those whom the viewer follows, by author, oldest first.
    #[profiled]
    pub(crate) fn stories(&self, viewer: i64, authors: u32) -> Result<Vec<StoryRow>, StoreError> {
        self.rows(STORIES, &[&viewer, &authors], StoryRow::read)
    }

    /// A user's newest messages.
    #[profiled]
    pub(crate) fn inbox(&self, recipient: i64, limit: u32) -> Result<Vec<MessageRow>, StoreError> {
        self.rows(INBOX, &[&recipient, &limit], MessageRow::read)
    }

    /// The newest comments on each of these posts, by post, oldest first.
    #[profiled]
    pub(crate) fn comments(
        &self,
        media: &[MediaRow],
        limit: u32,
    ) -> Result<Vec<CommentRow>, StoreError> {
        let ids: Vec<i64> = media.iter().map(|media| media.id).collect();
        let ids = serde_json::to_string(&ids)?;
        self.rows(COMMENTS, &[&ids, &limit], CommentRow::read)
    }

    /// Whether one user follows another.
    #[profiled]
    pub(crate) fn follows(&self, follower: i64, followee: i64) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(FOLLOWS)?
                .exists([follower, followee])
        })
    }

    /// A published ranking model, as JSON.
    #[profiled]
    pub(crate) fn ranking_model(&self, name: &str) -> Result<String, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT model FROM ranking_models WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
        })
    }

    fn rows<T>(
        &self,
        sql: &'static str,
        parameters: &[&dyn ToSql],
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql)?
                .query_map(parameters, read)?
                .collect()
        })
    }
}
