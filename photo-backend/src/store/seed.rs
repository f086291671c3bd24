use std::path::Path;

use fastrand::Rng;
use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::writes::FEED_ENTRIES;
use super::{StoreError, connection};
use crate::ranking::Model;

/// How many posts each user begins with. Post `k` (from 0) of user `u` (from 1) of `n` has the id
/// `k * n + u`: ids rise with time.
pub(crate) const MEDIA_PER_USER: i64 = 20;

const FOLLOWEES: i64 = 30;
/// Story `k` (from 0) of user `u` of `n` has the id `k * n + u`.
pub(crate) const STORIES_PER_USER: i64 = 7;
const MESSAGES_PER_USER: i64 = 40;
const LIKES_PER_MEDIA: u64 = 3;
const COMMENTS_PER_MEDIA: i64 = 2;
const BEGINNING: i64 = 1_700_000_000;
const MODEL_POINTS: usize = 800;

/// What [`seed`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SeedReport {
    /// Users, with ids from 1.
    pub users: u32,
    /// Posts.
    pub media: u64,
    /// The file's size.
    pub bytes: u64,
}

/// Makes a database of so many users: the same rows at every call.
///
/// # Errors
/// If there is a database already, or SQLite fails.
pub fn seed(path: &Path, users: u32) -> Result<SeedReport, StoreError> {
    let mut connection = Connection::open(path)?;
    connection::configure(&connection)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("../../sql/schema.sql"))?;
    Seeder {
        transaction: &transaction,
        rng: Rng::with_seed(2016),
        users: i64::from(users),
    }
    .fill()?;
    transaction.commit()?;
    connection.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")?;
    let bytes: i64 = connection.query_row(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        [],
        |row| row.get(0),
    )?;
    Ok(SeedReport {
        users,
        media: u64::from(users) * MEDIA_PER_USER.unsigned_abs(),
        bytes: bytes.unsigned_abs(),
    })
}

struct Seeder<'a> {
    transaction: &'a Transaction<'a>,
    rng: Rng,
    users: i64,
}

impl Seeder<'_> {
    fn fill(&mut self) -> Result<(), StoreError> {
        self.models()?;
        self.people()?;
        self.follows()?;
        self.media()?;
        self.feeds()?;
        self.stories()?;
        self.messages()?;
        Ok(())
    }

    fn models(&mut self) -> Result<(), StoreError> {
        let mut noise = |step: f64| step + self.rng.f64() / 16.0;
        let mut curve = |shape: fn(f64) -> f64| -> Vec<f64> {
            #[expect(clippy::cast_precision_loss, reason = "some hundred points")]
            (0..MODEL_POINTS)
                .map(|point| noise(shape(point as f64 / MODEL_POINTS as f64)))
                .collect()
        };
        let model = Model {
            bias: 0.25,
            seen_penalty: 4.0,
            friend_bonus: 0.125,
            verified_bonus: 0.0625,
            by_age: curve(|x| 2.0 * (-4.0 * x).exp()),
            by_affinity: curve(|x| x),
            by_popularity: curve(f64::sqrt),
        };
        self.transaction.execute(
            "INSERT INTO ranking_models VALUES (?1, ?2)",
            (Model::NAME, serde_json::to_string(&model)?),
        )?;
        Ok(())
    }

    fn people(&mut self) -> Result<(), StoreError> {
        let mut insert = self
            .transaction
            .prepare("INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)")?;
        for id in 1..=self.users {
            let name = words(&mut self.rng, 2);
            let username = format!("{}_{id}", name.replace(' ', "_"));
            let biography = words(&mut self.rng, 12);
            let verified = self.rng.u8(0..20) == 0;
            insert.execute((id, username, name, biography, verified, MEDIA_PER_USER))?;
        }
        Ok(())
    }

    fn follows(&mut self) -> Result<(), StoreError> {
        let mut insert = self
            .transaction
            .prepare("INSERT OR IGNORE INTO follows VALUES (?1, ?2, ?3)")?;
        for follower in 1..=self.users {
            let mut followees = 0;
            while followees < FOLLOWEES.min(self.users - 1) {
                let followee = self.rng.i64(1..=self.users);
                if followee != follower {
                    let added = insert.execute((follower, followee, self.rng.f64()))?;
                    followees += i64::from(added == 1);
                }
            }
        }
        self.transaction.execute_batch(
            "UPDATE users SET follower_count =
                (SELECT count(*) FROM follows WHERE followee_id = users.id)",
        )?;
        Ok(())
    }

    fn media(&mut self) -> Result<(), StoreError> {
        let mut media = self
            .transaction
            .prepare("INSERT INTO media VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        let mut like = self
            .transaction
            .prepare("INSERT OR IGNORE INTO likes VALUES (?1, ?2)")?;
        let mut comment = self.transaction.prepare(
            "INSERT INTO comments (media_id, author_id, created_at, text) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for id in 1..=self.users * MEDIA_PER_USER {
            let author = (id - 1) % self.users + 1;
            let taken_at = BEGINNING + id * 7;
            let mut likes = 0_i64;
            for _ in 0..self.rng.u64(0..=2 * LIKES_PER_MEDIA) {
                likes += i64::from(like.execute([id, self.rng.i64(1..=self.users)])? == 1);
            }
            for _ in 0..COMMENTS_PER_MEDIA {
                let text = words(&mut self.rng, 5);
                comment.execute((id, self.rng.i64(1..=self.users), taken_at + 60, text))?;
            }
            let height = if self.rng.bool() { 1350 } else { 1080 };
            let caption = words(&mut self.rng, 10);
            let location = words(&mut self.rng, 2);
            media.execute((
                id,
                author,
                taken_at,
                1080,
                height,
                caption,
                location,
                likes,
                COMMENTS_PER_MEDIA,
            ))?;
        }
        Ok(())
    }

    fn feeds(&mut self) -> Result<(), StoreError> {
        self.transaction.execute(
            "INSERT INTO feed_entries (user_id, media_id)
             SELECT follower_id, id FROM (
                 SELECT follows.follower_id, media.id,
                        row_number() OVER (PARTITION BY follows.follower_id ORDER BY media.id DESC) AS place
                 FROM follows
                 JOIN media ON media.author_id = follows.followee_id
                           AND media.id > ?1
             ) WHERE place <= ?2",
            (self.users * (MEDIA_PER_USER - 4), FEED_ENTRIES),
        )?;
        Ok(())
    }

    fn stories(&mut self) -> Result<(), StoreError> {
        let mut insert = self.transaction.prepare(
            "INSERT INTO stories (author_id, taken_at, duration_ms) VALUES (?1, ?2, ?3)",
        )?;
        for number in 0..STORIES_PER_USER {
            for author in 1..=self.users {
                let taken_at = BEGINNING + number * 3600 + self.rng.i64(0..3600);
                insert.execute((author, taken_at, self.rng.i64(3000..15_000)))?;
            }
        }
        Ok(())
    }

    fn messages(&mut self) -> Result<(), StoreError> {
        let mut insert = self.transaction.prepare(
            "INSERT INTO messages (recipient_id, sender_id, sent_at, is_read, text) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for number in 0..MESSAGES_PER_USER {
            for recipient in 1..=self.users {
                let sender = (recipient + 7 * number + 1) % self.users + 1;
                let sent_at = BEGINNING + number * 600 + self.rng.i64(0..600);
                let text = words(&mut self.rng, 10);
                insert.execute((recipient, sender, sent_at, self.rng.bool(), text))?;
            }
        }
        Ok(())
    }
}

/// Some words, about seven bytes each.
fn words(rng: &mut Rng, count: usize) -> String {
    const WORDS: [&str; 32] = [
        "amber", "beach", "canyon", "dawn", "evening", "forest", "garden", "harbour", "island",
        "july", "kitchen", "lantern", "morning", "north", "orchard", "portrait", "quiet", "river",
        "summer", "terrace", "umbrella", "valley", "winter", "yellow", "zenith", "bridge",
        "coffee", "friends", "holiday", "mountain", "sunset", "café",
    ];
    let mut text = String::with_capacity(count * 8);
    for place in 0..count {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[rng.usize(..WORDS.len())]);
    }
    text
}
