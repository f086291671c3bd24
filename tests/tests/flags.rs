//! What flags cost, from requests to services with the agent embedded to what the collector and the program say: one that is given at random
//! and dear, one that goes by country, and one that changes nothing.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use appweight_agent::{Agent, flag};
use appweight_tests::{Collector, get, random, run};
use axum::Router;
use axum::extract::Path;
use axum::routing::get as route;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const WAIT: Duration = Duration::from_secs(20);
/// Of each endpoint in each cluster.
const REQUESTS: usize = 700;
/// The share of a country's requests in each cluster.
const COUNTRY: [(&str, f64); 2] = [("east", 0.2), ("west", 0.6)];

/// A service in a cluster, on the runtime of all.
struct Service {
    agent: Agent,
    address: SocketAddr,
}

impl Service {
    fn start(runtime: &Runtime, collector: &str, cluster: &str) -> Self {
        let agent = Agent::builder()
            .service("small")
            .deploy("a")
            .host(format!("{cluster}-1"))
            .cluster(cluster)
            .collector(collector)
            .cell_width(Duration::from_millis(500))
            .warm_up(Duration::ZERO)
            .start();
        let app = Router::new()
            .route("/feed/{user}", route(async |user| serve(user, true)))
            .route("/seen/{user}", route(async |user| serve(user, false)))
            .layer(agent.layer());
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { agent, address }
    }
}

/// Serves a user, of whom three letters tell the ranker, the country and what changes nothing: a new ranker takes a fifth longer to
/// make a feed, and users of the country cost more in everything.
fn serve(Path(user): Path<String>, is_feed: bool) -> String {
    let is = |at: usize| user.as_bytes()[at] == b'y';
    let (ranker, country, nothing) = (is(0), is(1), is(2));
    flag("ranker", if ranker { "v2" } else { "v1" });
    flag("banner", if country { "on" } else { "off" });
    flag("colour", if nothing { "blue" } else { "green" });
    let of_ranker = if ranker && is_feed { 1.2 } else { 1.0 };
    let of_country = if country { 1.3 } else { 1.0 };
    work((40_000.0 * of_ranker * of_country) as u64).to_string()
}

/// Work that no compiler can leave out.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(7, |sum: u64, round| {
        std::hint::black_box((sum ^ round).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

fn of<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|of| of[key] == name)
        .unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn a_cost_an_association_and_nothing_are_told_apart() {
    let collector = Collector::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let services = COUNTRY.map(|(cluster, share)| {
        let service = Service::start(&runtime, &collector.url, cluster);
        (service, share)
    });
    let mut random = random("users");
    for _ in 0..REQUESTS {
        for (service, country) in &services {
            for endpoint in ["feed", "seen"] {
                let letter = |share: f64, random: &mut fastrand::Rng| {
                    if random.f64() < share { 'y' } else { 'n' }
                };
                let user: String = [0.5, *country, 0.5]
                    .into_iter()
                    .map(|share| letter(share, &mut random))
                    .collect();
                let url = format!("http://{}/{endpoint}/{user}", service.address);
                assert_eq!(get(&url).unwrap().status, 200);
            }
        }
    }
    drop(runtime);
    for (service, _) in services {
        assert!(service.agent.shutdown(WAIT), "everything is sent");
    }

    let now_us = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let answer = collector.get(&format!("/v1/flags?service=small&until_us={now_us}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = answer.json();
    let value = |name: &str| of(&report["flags"], "flag", name)["values"][0].clone();

    // Either may be the more common one.
    let ranker = value("ranker");
    let dearer = if ranker["value"] == "v2" { 1.0 } else { -1.0 };
    assert_eq!(ranker["reads_as"], "cost", "{ranker}");
    let feed = of(&ranker["endpoints"], "endpoint", "/feed/{user}");
    let called = if dearer > 0.0 {
        "regressed"
    } else {
        "improved"
    };
    assert_eq!(feed["verdict"], called, "{ranker}");
    let relative = feed["change"]["relative"].as_f64().unwrap();
    assert!((0.1..0.3).contains(&(dearer * relative)), "{feed}");
    assert!(feed["cost"]["cores"].is_number(), "{feed}");
    let seen = of(&ranker["endpoints"], "endpoint", "/seen/{user}");
    assert_ne!(seen["verdict"], "regressed", "{ranker}");
    assert_ne!(seen["verdict"], "improved", "{ranker}");

    let banner = value("banner");
    assert_eq!(banner["reads_as"], "association", "{banner}");
    let because = banner["because"].as_str().unwrap();
    assert!(because.contains("in east against"), "{because}");
    for change in banner["endpoints"].as_array().unwrap() {
        assert_eq!(change["verdict"], "regressed", "{change}");
        assert!(change["cost"].is_null(), "{change}");
    }

    let colour = value("colour");
    assert_eq!(colour["reads_as"], "cost", "{colour}");
    let changes = colour["endpoints"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{colour}");
    for change in changes.iter().chain([&colour["total"]]) {
        let verdict = change["verdict"].as_str().unwrap();
        assert!(["unchanged", "undecided"].contains(&verdict), "{change}");
    }

    // The program tells whole minutes alone, so that what it has to say may be nothing yet.
    let words = ["flags", "--service", "small", "--collector", &collector.url];
    let told = run(&words);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.starts_with("small, "), "{told:?}");
    let unknown = run(&[&words[..], &["--flag", "nothing"]].concat());
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("nothing"), "{unknown:?}");
}
