use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::Full;

use super::photos::photos;
use crate::Endpoint;
use crate::store::{MEDIA_PER_USER, STORIES_PER_USER};

/// What simulated users ask for, in the proportions of [`Endpoint::share`].
#[derive(Debug)]
pub(crate) struct Mix {
    seeded_users: u32,
    photos: Vec<Bytes>,
    uploads: AtomicU32,
}

/// The authors whose stories a user looks at, and whom they may come to follow, are this many:
/// the rows for them stop growing.
const NEIGHBOURS: i64 = 40;

const RECENT_PHOTOS: i64 = 1000;
const ABOUT: &str = "?caption=the+evening+sun+over+the+harbour+with+friends+and+one+more+coffee&location=north+beach";

impl Mix {
    pub(crate) fn new(seeded_users: u32) -> Self {
        Self {
            seeded_users: seeded_users.max(1),
            photos: photos(),
            uploads: AtomicU32::new(0),
        }
    }

    /// An upload was answered: there is one more photo that can be liked.
    pub(crate) fn uploaded(&self) {
        self.uploads.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the newest photos: people like what they have just seen, and so new photos come to
    /// have as many likes and comments as old ones.
    fn recent_photo(&self, rng: &mut Rng) -> i64 {
        let photos = i64::from(self.seeded_users) * MEDIA_PER_USER
            + i64::from(self.uploads.load(Ordering::Relaxed));
        photos - rng.i64(0..RECENT_PHOTOS.min(photos))
    }

    /// Which endpoint is asked next.
    pub(crate) fn endpoint(rng: &mut Rng) -> Endpoint {
        let mut ticket = rng.u8(0..100);
        for endpoint in Endpoint::ALL {
            match ticket.checked_sub(endpoint.share()) {
                Some(rest) => ticket = rest,
                None => return endpoint,
            }
        }
        Endpoint::Feed
    }

    /// A request of that user. `base` is put before the path: a scheme and authority, or nothing.
    pub(crate) fn request(
        &self,
        endpoint: Endpoint,
        user: u32,
        base: &str,
        rng: &mut Rng,
    ) -> Request<Full<Bytes>> {
        let users = i64::from(self.seeded_users);
        let neighbour = (i64::from(user) + rng.i64(1..=NEIGHBOURS) - 1) % users + 1;
        let (id, body) = match endpoint {
            Endpoint::Feed | Endpoint::Stories | Endpoint::Inbox => (0, Bytes::new()),
            Endpoint::Timeline => (rng.i64(1..=users), Bytes::new()),
            Endpoint::Follow => (neighbour, Bytes::new()),
            Endpoint::Like => (self.recent_photo(rng), Bytes::new()),
            Endpoint::Comment => (
                self.recent_photo(rng),
                Bytes::from_static(br#"{"text":"What a photo! Where was it taken?"}"#),
            ),
            Endpoint::Seen => {
                let story = neighbour + users * rng.i64(0..STORIES_PER_USER);
                let body = format!(r#"{{"author_id":{neighbour},"story_id":{story}}}"#);
                (0, body.into())
            }
            Endpoint::Upload => (0, self.photos[rng.usize(..self.photos.len())].clone()),
        };
        let path = endpoint.template().replace("{id}", &id.to_string());
        let query = if endpoint == Endpoint::Upload {
            ABOUT
        } else {
            ""
        };
        Request::builder()
            .method(endpoint.method())
            .uri(format!("{base}{path}{query}"))
            .header("x-user", user)
            .body(Full::new(body))
            .expect("targets are checked when they are added, and paths are made of digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_in_their_proportions() {
        let mut rng = Rng::with_seed(3);
        let mut seen = [0_i32; Endpoint::ALL.len()];
        for _ in 0..100_000 {
            seen[Mix::endpoint(&mut rng) as usize] += 1;
        }
        for endpoint in Endpoint::ALL {
            let expected = i32::from(endpoint.share()) * 1000;
            assert!(
                (seen[endpoint as usize] - expected).abs() < 700,
                "{endpoint}: {seen:?}"
            );
        }
    }
}
