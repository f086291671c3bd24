use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

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
pub(crate) async fn inbox(
    State(app): State<Arc<App>>,
    Viewer(viewer): Viewer,
) -> Result<Response, ApiError> {
    let messages = measured::sqlite(|| app.store.inbox(viewer, PAGE))?;
    let senders = senders(&app, &messages)?;
    let body = encode(&Inbox {
        unread: messages.iter().filter(|message| !message.is_read).count(),
        threads: messages
            .iter()
            .map(|message| {
                let sender = senders.get(&message.sender_id);
                Thread {
                    id: message.id,
                    sender: sender.map(UserView::new),
                    last_message: &message.text,
                    sent_at: message.sent_at,
                    is_read: message.is_read,
                    is_followed: message.is_followed,
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
fn remember(app: &App, page: &Bytes) {
    app.inbox_history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(page.to_vec());
}

fn senders(app: &App, messages: &[MessageRow]) -> Result<HashMap<i64, UserRow>, ApiError> {
    let mut senders = HashMap::with_capacity(messages.len());
    if app.variants.has(Variant::InboxBatched) {
        let ids: Vec<i64> = messages.iter().map(|message| message.sender_id).collect();
        for sender in measured::sqlite(|| app.store.users_in(&ids))? {
            senders.insert(sender.id, sender);
        }
    } else {
        for message in messages {
            if let Some(sender) = measured::sqlite(|| app.store.user(message.sender_id))? {
                senders.insert(sender.id, sender);
            }
        }
    }
    Ok(senders)
}
