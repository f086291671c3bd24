use appweight_agent::profiled;
use rusqlite::OptionalExtension;
use serde::Serialize;

use super::{Store, StoreError};

/// A feed is chosen from this many posts at most; older entries go when new ones come.
pub(super) const FEED_ENTRIES: u32 = 80;

/// A new photo.
pub(crate) struct NewMedia {
    pub(crate) author: i64,
    pub(crate) taken_at: i64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) caption: String,
    pub(crate) location: String,
}

/// What a checkpoint moved, in pages of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Checkpoint {
    pub(crate) log: i64,
    pub(crate) moved: i64,
}

impl Store {
    /// Posts a photo and leaves its way into the followers' feeds to the fan-out task.
    #[profiled]
    pub(crate) fn insert_media(&self, media: &NewMedia) -> Result<i64, StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO media (author_id, taken_at, width, height, caption, location)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((
                    media.author,
                    media.taken_at,
                    media.width,
                    media.height,
                    &media.caption,
                    &media.location,
                ))?;
            let id = connection.last_insert_rowid();
            connection
                .prepare_cached("UPDATE users SET media_count = media_count + 1 WHERE id = ?1")?
                .execute([media.author])?;
            connection
                .prepare_cached("INSERT INTO fan_out_jobs (media_id) VALUES (?1)")?
                .execute([id])?;
            Ok(id)
        })
    }

    /// Likes a photo, once. `None` if there is no such photo, else how many like it now.
    #[profiled]
    pub(crate) fn like(&self, media: i64, user: i64) -> Result<Option<i64>, StoreError> {
        self.write(|connection| {
            let added = connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO likes (media_id, user_id)
                     SELECT id, ?2 FROM media WHERE id = ?1",
                )?
                .execute([media, user])?;
            connection
                .prepare_cached("UPDATE media SET like_count = like_count + ?2 WHERE id = ?1 RETURNING like_count")?
                .query_row((media, added == 1), |row| row.get(0))
                .optional()
        })
    }

    /// Comments on a photo. `None` if there is no such photo, else the comment's id.
    #[profiled]
    pub(crate) fn comment(
        &self,
        media: i64,
        author: i64,
        at: i64,
        text: &str,
    ) -> Result<Option<i64>, StoreError> {
        self.write(|connection| {
            let found = connection
                .prepare_cached("UPDATE media SET comment_count = comment_count + 1 WHERE id = ?1")?
                .execute([media])?;
            if found == 0 {
                return Ok(None);
            }
            connection
                .prepare_cached(
                    "INSERT INTO comments (media_id, author_id, created_at, text) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((media, author, at, text))?;
            Ok(Some(connection.last_insert_rowid()))
        })
    }

    /// Follows a user, once. `None` if there is no such user, else how many followers they have now.
    #[profiled]
    pub(crate) fn follow(&self, follower: i64, followee: i64) -> Result<Option<i64>, StoreError> {
        self.write(|connection| {
            let added = connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO follows (follower_id, followee_id, affinity)
                     SELECT ?1, id, 0.1 FROM users WHERE id = ?2",
                )?
                .execute([follower, followee])?;
            connection
                .prepare_cached(
                    "UPDATE users SET follower_count = follower_count + ?2 WHERE id = ?1 RETURNING follower_count",
                )?
                .query_row((followee, added == 1), |row| row.get(0))
                .optional()
        })
    }

    /// Notes that the viewer has seen an author's stories up to this one.
    #[profiled]
    pub(crate) fn seen(&self, viewer: i64, author: i64, story: i64) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO story_seen (user_id, author_id, story_id) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET story_id = max(story_id, excluded.story_id)",
                )?
                .execute([viewer, author, story])?;
            Ok(())
        })
    }

    /// Whether a post waits for its fan-out; cheaper than trying [`Store::fan_out_one`], which locks.
    pub(crate) fn has_fan_out_job(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM fan_out_jobs LIMIT 1")?
                .exists([])
        })
    }

    /// Puts the oldest waiting post into the feeds of its author's followers. `None` if none waits,
    /// else into how many.
    #[profiled]
    pub(crate) fn fan_out_one(&self) -> Result<Option<usize>, StoreError> {
        self.write(|connection| {
            let job: Option<i64> = connection
                .prepare_cached(
                    "DELETE FROM fan_out_jobs WHERE media_id = (SELECT min(media_id) FROM fan_out_jobs)
                     RETURNING media_id",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(media) = job else { return Ok(None) };
            let followers: Vec<i64> = connection
                .prepare_cached(
                    "SELECT follower_id FROM follows
                     WHERE followee_id = (SELECT author_id FROM media WHERE id = ?1)",
                )?
                .query_map([media], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let mut insert =
                connection.prepare_cached("INSERT OR IGNORE INTO feed_entries (user_id, media_id) VALUES (?1, ?2)")?;
            let mut trim = connection.prepare_cached(
                "DELETE FROM feed_entries WHERE user_id = ?1 AND media_id <
                     (SELECT media_id FROM feed_entries WHERE user_id = ?1 ORDER BY media_id DESC LIMIT 1 OFFSET ?2)",
            )?;
            for &follower in &followers {
                insert.execute([follower, media])?;
                trim.execute((follower, FEED_ENTRIES - 1))?;
            }
            Ok(Some(followers.len()))
        })
    }

    /// Moves the write-ahead log into the database. A log longer than `restart_above` pages is also
    /// made to begin anew, for which it waits until nobody reads from it.
    #[profiled]
    pub(crate) fn checkpoint(&self, restart_above: i64) -> Result<Checkpoint, StoreError> {
        let run = |sql| {
            self.read(|connection| {
                connection.prepare_cached(sql)?.query_row([], |row| {
                    Ok(Checkpoint {
                        log: row.get(1)?,
                        moved: row.get(2)?,
                    })
                })
            })
        };
        let done = run("PRAGMA wal_checkpoint(PASSIVE)")?;
        if done.log > restart_above {
            return run("PRAGMA wal_checkpoint(RESTART)");
        }
        Ok(done)
    }
}
