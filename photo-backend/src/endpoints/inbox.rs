use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use appweight_agent::profiled;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use crate::app::{App, Viewer};
use crate::error::ApiError;
use crate::store::{MessageRow, UserRow};
use crate::views::{UserView, answer, encode};
use crate::{Variant, measured};

const PAGE: u32 = 40;

#[derive(Serialize)]
struct Inbox<'a> {
    unread: usize,
    threads: Vec<Thread<'a>>,
}

#[derive(Serialize)]
struct Thread<'a> {
    id: i64,
    sender: Option<UserView<'a>>,
    last_message: &'a str,
    sent_at: i64,
    is_read: bool,
    is_followed: bool,
    follows_back: bool,
    has_new_story: bool,
    mutual_friends: i64,
}

/// `GET /inbox`: the newest message of each conversation.
#[profiled]
pub(crate) async fn inbox(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
) -> Result<Response, ApiError> {
    let messages = measured::sqlite(|| app.store.inbox(viewer, PAGE))?;
    let senders = senders(&app, viewer, &messages)?;
    let body = encode(&Inbox {
        unread: messages.iter().filter(|message| !message.is_read).count(),
        threads: messages
            .iter()
            .map(|message| {
                let sender = senders.get(&message.sender_id);
                Thread {
                    id: message.id,
                    sender: sender.map(|sender| UserView::new(&sender.user)),
                    last_message: &message.text,
                    sent_at: message.sent_at,
                    is_read: message.is_read,
                    is_followed: sender.is_some_and(|sender| sender.is_followed),
                    follows_back: message.follows_back,
                    has_new_story: message.story_id > message.seen_until,
                    mutual_friends: message.mutual_friends,
                }
            })
            .collect(),
    })?;
    if app.variants.has(Variant::InboxLeak) {
        remember(&app, &body);
    }
    Ok(answer(body))
}

/// Keeps the page "for the history view", for ever.
#[profiled]
fn remember(app: &App, page: &Bytes) {
    app.inbox_history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(page.to_vec());
}

/// Who wrote a message, to the one who reads it.
struct Sender {
    user: UserRow,
    is_followed: bool,
}

#[profiled]
fn senders(
    app: &App,
    viewer: i64,
    messages: &[MessageRow],
) -> Result<HashMap<i64, Sender>, ApiError> {
    let mut senders = HashMap::with_capacity(messages.len());
    if app.variants.has(Variant::InboxBatched) {
        let followed: HashMap<i64, bool> = messages
            .iter()
            .map(|message| (message.sender_id, message.is_followed))
            .collect();
        let ids: Vec<i64> = messages.iter().map(|message| message.sender_id).collect();
        for user in measured::sqlite(|| app.store.users_in(&ids))? {
            let is_followed = followed.get(&user.id).copied().unwrap_or_default();
            senders.insert(user.id, Sender { user, is_followed });
        }
    } else {
        for message in messages {
            let id = message.sender_id;
            if let Some(user) = measured::sqlite(|| app.store.user(id))? {
                let is_followed = measured::sqlite(|| app.store.follows(viewer, id))?;
                senders.insert(id, Sender { user, is_followed });
            }
        }
    }
    Ok(senders)
}
