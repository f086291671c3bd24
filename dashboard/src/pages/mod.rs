//! The pages. Each asks its questions, then renders the answers without asking anything more.

mod choose;
mod comparison;
mod deploy;
mod deploy_list;
mod detected;
mod earlier;
mod failure;
mod flags;
mod flamegraph;
mod fleet;
mod functions;
mod home;
mod memory;
mod requests;
mod split;
mod trends;

pub(crate) use deploy::deploy;
pub(crate) use failure::not_found;
pub(crate) use flags::flags;
pub(crate) use flamegraph::flamegraph;
pub(crate) use fleet::fleet;
pub(crate) use home::home;
pub(crate) use requests::requests;
pub(crate) use trends::trends;

use maud::{Markup, html};

use crate::format;

/// A time for people and for machines.
fn time(us: u64) -> Markup {
    html! { time datetime=(format::machine(us)) { (format::moment(us)) } }
}
