//! Has the router with one layer answer so many requests, so that their instructions can be counted:
//!
//! `valgrind --tool=callgrind --toggle-collect=serve::counted target/release/serve 'AppWeight, all counted' /once/17 5000`

use appweight_peers::{layers, serve};
use axum::Router;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(path), Some(Ok(requests))) = (
        words.next(),
        words.next(),
        words.next().map(|word| word.parse()),
    ) else {
        eprintln!("serve LAYER PATH REQUESTS");
        std::process::exit(2);
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let known = layers::ALL.into_iter().find(|(known, _)| *known == name);
    let router = known.expect("a layer of that name").1();
    // What happens only once.
    runtime.block_on(serve(&router, &path, 1_000));
    counted(&runtime, &router, &path, requests);
}

#[inline(never)]
fn counted(runtime: &Runtime, router: &Router, path: &str, requests: u32) {
    runtime.block_on(serve(router, path, requests));
}
