use rusqlite::Row;

/// A user as shown beside a post, a reel or a message.
#[derive(Debug, Clone)]
pub(crate) struct UserRow {
    pub(crate) id: i64,
    pub(crate) username: String,
    pub(crate) full_name: String,
    pub(crate) biography: String,
    pub(crate) verified: bool,
    pub(crate) follower_count: i64,
    pub(crate) media_count: i64,
}

impl UserRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            username: row.get(1)?,
            full_name: row.get(2)?,
            biography: row.get(3)?,
            verified: row.get(4)?,
            follower_count: row.get(5)?,
            media_count: row.get(6)?,
        })
    }
}

/// A post as one viewer sees it.
#[derive(Debug, Clone)]
pub(crate) struct MediaRow {
    pub(crate) id: i64,
    pub(crate) author_id: i64,
    pub(crate) taken_at: i64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) caption: String,
    pub(crate) location: String,
    pub(crate) like_count: i64,
    pub(crate) comment_count: i64,
    pub(crate) has_liked: bool,
    /// How close the viewer is to the author, 0 to 1.
    pub(crate) affinity: f64,
    /// How many of those whom the viewer follows like it, as far as was looked.
    pub(crate) friends_liked: i64,
}

impl MediaRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            author_id: row.get(1)?,
            taken_at: row.get(2)?,
            width: row.get(3)?,
            height: row.get(4)?,
            caption: row.get(5)?,
            location: row.get(6)?,
            like_count: row.get(7)?,
            comment_count: row.get(8)?,
            has_liked: row.get(9)?,
            affinity: row.get(10)?,
            friends_liked: row.get(11)?,
        })
    }
}

/// A story with its author, as one viewer sees it.
#[derive(Debug, Clone)]
pub(crate) struct StoryRow {
    pub(crate) id: i64,
    pub(crate) author_id: i64,
    pub(crate) taken_at: i64,
    pub(crate) duration_ms: i64,
    pub(crate) username: String,
    pub(crate) verified: bool,
    pub(crate) affinity: f64,
    /// The author's newest story that the viewer has seen, 0 for none.
    pub(crate) seen_until: i64,
}

impl StoryRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            author_id: row.get(1)?,
            taken_at: row.get(2)?,
            duration_ms: row.get(3)?,
            username: row.get(4)?,
            verified: row.get(5)?,
            affinity: row.get(6)?,
            seen_until: row.get(7)?,
        })
    }
}

/// A direct message.
#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    pub(crate) id: i64,
    pub(crate) sender_id: i64,
    pub(crate) sent_at: i64,
    pub(crate) is_read: bool,
    pub(crate) text: String,
    /// Whether the recipient follows the sender.
    pub(crate) is_followed: bool,
    /// Whether the sender follows the recipient.
    pub(crate) follows_back: bool,
    /// The sender's newest story, 0 for none.
    pub(crate) story_id: i64,
    /// The sender's newest story that the recipient has seen, 0 for none.
    pub(crate) seen_until: i64,
    /// Whom both follow, as far as was looked.
    pub(crate) mutual_friends: i64,
}

impl MessageRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            sender_id: row.get(1)?,
            sent_at: row.get(2)?,
            is_read: row.get(3)?,
            text: row.get(4)?,
            is_followed: row.get(5)?,
            follows_back: row.get(6)?,
            story_id: row.get(7)?,
            seen_until: row.get(8)?,
            mutual_friends: row.get(9)?,
        })
    }
}

/// A comment with its author's name.
#[derive(Debug, Clone)]
pub(crate) struct CommentRow {
    pub(crate) id: i64,
    pub(crate) media_id: i64,
    pub(crate) username: String,
    pub(crate) created_at: i64,
    pub(crate) text: String,
}

impl CommentRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            media_id: row.get(1)?,
            username: row.get(2)?,
            created_at: row.get(3)?,
            text: row.get(4)?,
        })
    }
}
