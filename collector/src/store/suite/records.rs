use super::{RECEIVED, all_cells, forget, new};
use crate::store::*;
use crate::testing::{NOON, SECOND, batch, cell, process, request};

pub(in crate::store) async fn requests_come_by_cost_or_time(store: &impl Store) {
    let mut first = batch(1, 0, "a");
    first.requests = vec![request(NOON, 9), request(NOON + 1, 3), request(NOON + 2, 5)];
    first.requests[1].endpoint = "/inbox".into();
    store.put_batch(new(first)).await.unwrap();
    let mut second = batch(2, 0, "b");
    second.requests = vec![request(NOON + 3, 4)];
    store.put_batch(new(second)).await.unwrap();
    let mut query = RequestQuery {
        service: "photo".into(),
        endpoint: None,
        deploy: None,
        time: TimeRange::ALL,
        order: RequestOrder::Cost,
        skip: 0,
        limit: 2,
    };
    let costs = async |query: &RequestQuery| -> Vec<u64> {
        let views = store.requests(query.clone()).await.unwrap();
        views
            .iter()
            .map(|view| view.request.cpu_ns.unwrap())
            .collect()
    };
    assert_eq!(costs(&query).await, [9, 5]);
    query.order = RequestOrder::Time;
    assert_eq!(costs(&query).await, [4, 5]);
    query.deploy = Some("a".into());
    query.limit = 9;
    assert_eq!(costs(&query).await, [5, 3, 9]);
    query.endpoint = Some("/inbox".into());
    assert_eq!(costs(&query).await, [3]);
}

pub(in crate::store) async fn requests_are_skipped_and_found_by_time(store: &impl Store) {
    let mut batch = batch(1, 0, "a");
    batch.requests = (0..10).map(|at| request(NOON + at, at % 3)).collect();
    store.put_batch(new(batch)).await.unwrap();
    let page = async |order, skip, limit| -> Vec<u64> {
        let query = RequestQuery {
            service: "photo".into(),
            endpoint: None,
            deploy: None,
            time: TimeRange {
                from_us: NOON + 2,
                until_us: NOON + 8,
            },
            order,
            skip,
            limit,
        };
        let views = store.requests(query).await.unwrap();
        views
            .iter()
            .map(|view| view.request.start_us - NOON)
            .collect()
    };
    assert_eq!(page(RequestOrder::Time, 0, 9).await, [7, 6, 5, 4, 3, 2]);
    // Costs of 2 to 7 are 2 0 1 2 0 1.
    let whole = page(RequestOrder::Cost, 0, 9).await;
    assert_eq!(whole, [5, 2, 7, 4, 6, 3]);
    for order in [RequestOrder::Cost, RequestOrder::Time] {
        let whole = page(order, 0, 9).await;
        let mut pages = Vec::new();
        for skip in [0, 4, 8] {
            pages.extend(page(order, skip, 4).await);
        }
        assert_eq!(pages, whole);
    }
}

pub(in crate::store) async fn requests_of_unknown_cost_come_last_page_by_page(store: &impl Store) {
    let mut random = fastrand::Rng::with_seed(5);
    let mut some = || (random.u8(0..2) == 0).then(|| random.u64(0..5));
    for source in 0..10 {
        let mut batch = batch(source, 0, "a");
        batch.requests = (0..4).map(|at| request(NOON + at, 0)).collect();
        for request in &mut batch.requests {
            (request.instructions, request.cpu_ns) = (some(), some());
        }
        store.put_batch(new(batch)).await.unwrap();
    }
    let page = async |skip, limit| {
        let query = RequestQuery {
            service: "photo".into(),
            endpoint: None,
            deploy: None,
            time: TimeRange::ALL,
            order: RequestOrder::Cost,
            skip,
            limit,
        };
        store.requests(query).await.unwrap()
    };
    let whole = page(0, 100).await;
    // `None` is less than any number.
    assert!(whole.is_sorted_by_key(|view| {
        let (instructions, cpu_ns) = (view.request.instructions, view.request.cpu_ns);
        std::cmp::Reverse((instructions, cpu_ns, view.request.start_us))
    }));
    for skip in 0..37 {
        assert_eq!(page(skip, 3).await, whole[skip as usize..][..3], "{skip}");
    }
}

pub(in crate::store) async fn each_process_shows_its_newest_record(store: &impl Store) {
    for (source, sequence, second) in [(2, 0, 0), (1, 0, 5), (1, 1, 3)] {
        let mut batch = batch(source, sequence, "a");
        batch.processes = vec![process(NOON + second * SECOND, 1)];
        store.put_batch(new(batch)).await.unwrap();
    }
    let views = store.process_views("photo", NOON).await.unwrap();
    let facts: Vec<_> = views
        .iter()
        .map(|view| (view.host.as_str(), view.last_us))
        .collect();
    assert_eq!(
        facts,
        [("web-1", NOON + 6 * SECOND), ("web-2", NOON + SECOND)]
    );
    assert_eq!(
        store
            .process_views("photo", NOON + SECOND)
            .await
            .unwrap()
            .len(),
        1
    );
}

pub(in crate::store) async fn process_records_are_found_by_time_deploy_and_age(store: &impl Store) {
    for (source, deploy) in [(1, "a"), (2, "b")] {
        let mut batch = batch(source, 0, deploy);
        for second in 0..5 {
            let mut record = process(NOON + second * SECOND, 1);
            record.process_age_us = (second + 1) * SECOND;
            batch.processes.push(record);
        }
        store.put_batch(new(batch)).await.unwrap();
    }
    let time = TimeRange {
        from_us: NOON + SECOND,
        until_us: NOON + 4 * SECOND,
    };
    let mut query = ProcessQuery::all("photo", time);
    assert_eq!(store.process_points(query.clone()).await.unwrap().len(), 6);
    query.deploy = Some("a".into());
    query.oldest_us = 3 * SECOND;
    let points = store.process_points(query).await.unwrap();
    let facts: Vec<_> = points
        .iter()
        .map(|point| (point.deploy.as_str(), point.start_us))
        .collect();
    assert_eq!(facts, [("a", NOON + SECOND), ("a", NOON + 2 * SECOND)]);
}

pub(in crate::store) async fn process_records_have_their_cluster(store: &impl Store) {
    for (source, cluster) in [(1, "east"), (2, ""), (3, "west")] {
        let mut batch = batch(source, 0, "a");
        batch.origin.cluster = cluster.into();
        batch.processes = vec![process(NOON, 1)];
        store.put_batch(new(batch)).await.unwrap();
    }
    let expected = [("web-1", "east"), ("web-2", ""), ("web-3", "west")];
    let query = ProcessQuery::all("photo", TimeRange::ALL);
    let points = store.process_points(query).await.unwrap();
    let points = points.iter();
    let told: Vec<_> = points
        .map(|point| (&*point.host, &*point.cluster))
        .collect();
    assert_eq!(told, expected);
    let views = store.process_views("photo", 0).await.unwrap();
    let views = views.iter();
    let told: Vec<_> = views.map(|view| (&*view.host, &*view.cluster)).collect();
    assert_eq!(told, expected);
}

pub(in crate::store) async fn the_past_is_forgotten_but_its_cells_stay(store: &impl Store) {
    let mut old = batch(1, 0, "a");
    old.cells = vec![cell(NOON, &[5])];
    old.requests = vec![request(NOON, 5), request(NOON + SECOND, 5)];
    old.processes = vec![process(NOON, 1)];
    let old = new(old);
    store.put_batch(old.clone()).await.unwrap();
    let horizons = Horizons {
        records_us: NOON + 1,
        batches_us: RECEIVED,
        ..Horizons::NONE
    };
    let forgotten = forget(store, horizons).await;
    assert_eq!(
        forgotten,
        Forgotten {
            records: 2,
            ..Forgotten::default()
        }
    );
    assert_eq!(store.put_batch(old).await.unwrap(), PutOutcome::Duplicate);
    let horizons = Horizons {
        batches_us: RECEIVED + 1,
        ..horizons
    };
    assert_eq!(forget(store, horizons).await.batches, 1);
    assert_eq!(all_cells(store).await.len(), 1);
}

pub(in crate::store) async fn a_process_whose_clock_is_apart_is_marked(store: &impl Store) {
    for (sequence, clock_ahead_us) in [(0, Some(-7)), (1, Some(9 * 3_600_000_000)), (2, None)] {
        let mut batch = batch(1, sequence, "a");
        batch.processes = vec![process(NOON + sequence * SECOND, 1)];
        let mut new = new(batch);
        new.clock_ahead_us = clock_ahead_us;
        store.put_batch(new).await.unwrap();
        let views = store.process_views("photo", NOON).await.unwrap();
        assert_eq!(views[0].clock_ahead_us, clock_ahead_us);
    }
}

pub(in crate::store) async fn endpoints_are_known_until_they_are_long_gone(store: &impl Store) {
    const DAY: u64 = 86_400 * SECOND;
    for (sequence, endpoint, day) in [(0, "/a", 0), (1, "/b", 0), (2, "/c", 1), (3, "/a", 2)] {
        let mut named = cell(NOON + sequence * SECOND, &[5]);
        named.key.endpoint = endpoint.into();
        let mut batch = batch(1, sequence, "a");
        batch.cells = vec![named];
        let mut new = new(batch);
        new.received_us = NOON + day * DAY;
        store.put_batch(new).await.unwrap();
    }
    let known = async |limit| {
        let mut names = store.endpoints("photo", limit).await.unwrap();
        names.sort();
        names
    };
    assert_eq!(known(9).await, ["/a", "/b", "/c"]);
    assert_eq!(known(2).await, ["/a", "/c"], "the newest");
    assert!(store.endpoints("other", 9).await.unwrap().is_empty());
    let horizons = Horizons {
        minutes_us: NOON + DAY,
        ..Horizons::NONE
    };
    assert_eq!(forget(store, horizons).await.endpoints, 1);
    assert_eq!(known(9).await, ["/a", "/c"]);
}
