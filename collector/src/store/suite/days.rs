use appweight::drift::{Cost, Day, EndpointDay, Peak};
use appweight_wire::Kind;

use super::*;

const DAY: u64 = 86_400 * SECOND;

/// A day of that many requests.
pub(in crate::store) fn day(service: &str, start_us: u64, requests: u64) -> Day {
    Day {
        service: service.into(),
        start_us,
        peak: Some(Peak {
            start_us,
            active_users: 7,
            requests,
            cpu_ns: u64::MAX,
            instructions: None,
            minutes: 1_440,
        }),
        endpoints: vec![EndpointDay {
            kind: Kind::Request,
            endpoint: "/größe '\\ ?".into(),
            requests,
            cpu_ns: Some(Cost {
                requests,
                total: requests / 2,
            }),
            instructions: None,
        }],
    }
}

pub(in crate::store) async fn a_day_is_kept_once_and_forgotten_with_its_cells(store: &impl Store) {
    for (service, at, requests) in [
        ("photo", 1, 5),
        ("photo", 0, 3),
        ("photo", 1, 9),
        ("other", 0, 1),
    ] {
        let day = day(service, at * DAY, requests);
        store.put_day(day).await.unwrap();
    }
    let (first, second) = (day("photo", 0, 3), day("photo", DAY, 5));
    let all = async |time| store.days("photo", time).await.unwrap();
    assert_eq!(all(TimeRange::ALL).await, [first.clone(), second.clone()]);
    let until = TimeRange {
        from_us: 0,
        until_us: DAY,
    };
    assert_eq!(all(until).await, std::slice::from_ref(&first));
    let horizons = Horizons {
        cells_us: DAY,
        ..Horizons::NONE
    };
    assert_eq!(forget(store, horizons).await.days, 2);
    assert_eq!(all(TimeRange::ALL).await, std::slice::from_ref(&second));
    store.put_day(first.clone()).await.unwrap();
    assert_eq!(
        all(TimeRange::ALL).await,
        [first, second],
        "it may come again"
    );
}
