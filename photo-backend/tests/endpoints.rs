//! Every endpoint answers with the right data.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::collections::HashSet;

use common::{Database, USERS, ask, get, post};
use http::{Method, StatusCode};
use image::codecs::jpeg::JpegEncoder;
use photo_backend::Variants;
use serde_json::Value;

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, 90])
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).encode_image(&image).unwrap();
    jpeg
}

fn ids(items: &Value) -> Vec<i64> {
    let items = items.as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn the_feed_shows_those_whom_the_viewer_follows() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let feed = get(&service, "/feed", 1).await;
    assert!(feed.get("prefetch_stories").is_none());
    assert_eq!(feed["items"].as_array().unwrap().len(), 24);
    for item in feed["items"].as_array().unwrap() {
        let author = item["author"]["id"].as_i64().unwrap();
        let timeline = get(&service, &format!("/users/{author}/timeline"), 1).await;
        assert_eq!(timeline["is_followed"], true);
        assert_eq!(timeline["user"], item["author"]);
        assert!(ids(&timeline["items"]).contains(&item["id"].as_i64().unwrap()));
        assert_eq!(item["comments"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_timeline_shows_one_users_posts_newest_first() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let timeline = get(&service, "/users/7/timeline", 1).await;
    let expected: Vec<i64> = (0..20).rev().map(|k| k * i64::from(USERS) + 7).collect();
    assert_eq!(ids(&timeline["items"]), expected);
    assert_eq!(timeline["media_count"], 20);
    let (status, _) = ask(&service, Method::GET, "/users/999999/timeline", 1, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_story_once_seen_is_no_longer_new() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let tray = get(&service, "/stories", 3).await;
    assert_eq!(tray["tray"].as_array().unwrap().len(), 30);
    let reel = &tray["tray"][0];
    assert_eq!(reel["seen_until"], 0);
    let author = reel["author_id"].as_i64().unwrap();
    let second = reel["stories"][1]["id"].as_i64().unwrap();
    post(
        &service,
        "/seen",
        3,
        format!(r#"{{"author_id":{author},"story_id":{second}}}"#),
    )
    .await;
    let tray = get(&service, "/stories", 3).await;
    let reels = tray["tray"].as_array().unwrap();
    let reel = reels
        .iter()
        .find(|reel| reel["author_id"] == author)
        .unwrap();
    let new: Vec<bool> = (0..3)
        .map(|n| reel["stories"][n]["is_new"].as_bool().unwrap())
        .collect();
    assert_eq!(new, [false, false, true]);
}

#[tokio::test]
async fn the_inbox_has_the_newest_messages_with_their_senders() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let inbox = get(&service, "/inbox", 5).await;
    let threads = inbox["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 40);
    assert!(ids(&inbox["threads"]).is_sorted_by(|left, right| left > right));
    let unread = threads
        .iter()
        .filter(|thread| thread["is_read"] == false)
        .count();
    assert_eq!(inbox["unread"], unread);
    for thread in threads {
        let sender = thread["sender"]["id"].as_i64().unwrap();
        let timeline = get(&service, &format!("/users/{sender}/timeline"), 5).await;
        assert_eq!(timeline["is_followed"], thread["is_followed"]);
        assert_eq!(timeline["user"], thread["sender"]);
    }
}

#[tokio::test]
async fn a_like_counts_once_and_a_comment_is_shown() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let before = get(&service, "/users/9/timeline", 2).await;
    let photo = before["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["has_liked"] == false);
    let photo = photo.unwrap()["id"].as_i64().unwrap();
    let find = |timeline: &Value| {
        let items = timeline["items"].as_array().unwrap();
        items
            .iter()
            .find(|item| item["id"] == photo)
            .unwrap()
            .clone()
    };
    let likes = find(&before)["like_count"].as_i64().unwrap();
    for _ in 0..2 {
        let answer = post(&service, &format!("/media/{photo}/likes"), 2, "").await;
        assert_eq!(answer["like_count"], likes + 1);
    }
    post(
        &service,
        &format!("/media/{photo}/comments"),
        2,
        r#"{"text":"\"oh\""}"#,
    )
    .await;
    let after = find(&get(&service, "/users/9/timeline", 2).await);
    assert_eq!(after["has_liked"], true);
    assert_eq!(after["comment_count"], 3);
    let newest = after["comments"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["text"], "\"oh\"");
}

#[tokio::test]
async fn a_follow_counts_once() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let mut followed = HashSet::new();
    for user in 2..=USERS {
        let path = format!("/users/{user}/timeline");
        let before = get(&service, &path, 1).await;
        let expected =
            before["follower_count"].as_i64().unwrap() + i64::from(before["is_followed"] == false);
        for _ in 0..2 {
            let answer = post(&service, &format!("/users/{user}/follow"), 1, "").await;
            assert_eq!(answer["follower_count"], expected);
        }
        assert_eq!(get(&service, &path, 1).await["is_followed"], true);
        followed.insert(before["is_followed"].as_bool().unwrap());
    }
    assert_eq!(
        followed.len(),
        2,
        "some were followed before and some were not"
    );
}

#[tokio::test]
async fn an_upload_is_scaled_and_stands_on_the_timeline() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let path = "/media?caption=evening+sun&location=caf%C3%A9";
    let answer = post(&service, path, 4, jpeg(400, 300)).await;
    assert_eq!(
        (&answer["width"], &answer["height"]),
        (&400.into(), &300.into())
    );
    let sizes: Vec<_> = answer["renditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rendition| {
            assert!(rendition["bytes"].as_u64().unwrap() > 500);
            (
                rendition["width"].as_u64().unwrap(),
                rendition["height"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(sizes, [(240, 180), (120, 90)]);
    let timeline = get(&service, "/users/4/timeline", 1).await;
    assert_eq!(timeline["items"][0]["id"], answer["id"]);
    assert_eq!(timeline["items"][0]["caption"], "evening sun");
    assert_eq!(timeline["items"][0]["location"], "café");
    assert_eq!(timeline["media_count"], 21);
}

#[tokio::test]
async fn bad_requests_are_refused_and_change_nothing() {
    let database = Database::new();
    let service = database.service(Variants::default());
    let before = get(&service, "/users/4/timeline", 1).await;
    for (path, body, expected) in [
        ("/media", "not a photo", StatusCode::BAD_REQUEST),
        ("/seen", "{}", StatusCode::BAD_REQUEST),
        (
            "/media/4/comments",
            r#"{"text":""}"#,
            StatusCode::BAD_REQUEST,
        ),
        ("/media/4/comments", "x", StatusCode::BAD_REQUEST),
        (
            "/media/99999999/comments",
            r#"{"text":"x"}"#,
            StatusCode::NOT_FOUND,
        ),
        ("/media/99999999/likes", "", StatusCode::NOT_FOUND),
        ("/users/99999999/follow", "", StatusCode::NOT_FOUND),
        ("/users/x/follow", "", StatusCode::BAD_REQUEST),
    ] {
        let (status, _) = ask(&service, Method::POST, path, 4, body).await;
        assert_eq!(status, expected, "{path} {body}");
    }
    assert_eq!(get(&service, "/users/4/timeline", 1).await, before);
    let nobody = http::Request::get("/feed")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(service, nobody).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
