use appweight_agent_macros::profiled;

#[profiled("feed")]
fn literal() {}

#[profiled(named = "feed")]
fn other_word() {}

#[profiled(name = FEED)]
fn constant() {}

#[profiled(name = "")]
fn empty() {}

#[profiled(name = "feed", level = 3)]
fn more() {}

fn main() {}
