//! Thirty days in ClickHouse, which makes them itself: `INSERT … SELECT` from numbers, not batches of a collector. Cells
//! of 100 million requests, roll-outs, and the request records of two days.

use appweight_collector::ClickhouseOptions;
use appweight_wire::RequestRecord;
use clickhouse::Client;

use crate::pages::{DAY_US, DEPLOYS_A_DAY, FIRST_DEPLOY, SPAN_US};
use crate::traffic::MINUTE_US;

const ENDPOINTS: u64 = 40;
const GROUPS: u64 = 16;
/// Requests of an endpoint in a minute, of all hosts and of a group of them.
const FOLDED: u64 = 58;
const OF_GROUP: u64 = 4;
/// Days whose cells are kept by group of hosts.
const UNFOLDED_DAYS: u64 = 7;
const REQUESTS: u64 = 2_000_000;
/// Roll-outs that the watch judges; the reports of all others are copies of one of theirs.
const TO_JUDGE: u64 = 2 * DEPLOYS_A_DAY;

pub(crate) struct ThirtyDays {
    client: Client,
    from_us: u64,
    until_us: u64,
}

impl ThirtyDays {
    pub(crate) fn new(at: &ClickhouseOptions, from_us: u64, until_us: u64) -> Self {
        let client = Client::default().with_url(&at.url).with_user(&at.user);
        Self {
            client: client
                .with_password(&at.password)
                .with_database(&at.database),
            from_us,
            until_us,
        }
    }

    /// Fills a database that has the tables. Returns how many requests its cells count.
    pub(crate) async fn fill(&self) -> u64 {
        let mut day_us = self.from_us;
        while day_us < self.until_us {
            self.cells(day_us).await;
            day_us += DAY_US;
        }
        self.rest().await;
        let counted = self
            .client
            .query("SELECT toUInt64(sum(n)) FROM cells_by_detail WHERE detail = 'hours'");
        counted.fetch_one().await.expect("a number")
    }

    /// A day's, of two distributions each.
    async fn cells(&self, day_us: u64) {
        let folded = day_us + UNFOLDED_DAYS * DAY_US < self.until_us;
        let (groups, n) = if folded {
            (1, FOLDED)
        } else {
            (GROUPS, OF_GROUP)
        };
        let group = "number % 16";
        let buckets = if folded {
            "[1, 2, 4, 6, 9, 12, 9, 6, 4, 3, 1, 1]"
        } else {
            "[1, 1, 1, 1]"
        };
        let rows = DAY_US / MINUTE_US * ENDPOINTS * groups;
        let metric = |name: &str, mean: &str| {
            let logs = format!("toUInt256(round(log2({mean}) * 65536))");
            let histogram = format!(
                "CAST(mapFromArrays(arrayMap(at -> toUInt16(log2({mean}) * 8) - 30 + at, range(length({buckets}))),
                    {buckets}) AS Map(UInt16, UInt128))"
            );
            [
                (format!("{name}_n"), n.to_string()),
                (format!("{name}_sum"), format!("{n} * {mean}")),
                (
                    format!("{name}_sum_squares"),
                    format!("intDiv({n} * toUInt256({mean}) * {mean} * 10, 9)"),
                ),
                (format!("{name}_sum_logs"), format!("{n} * {logs}")),
                (
                    format!("{name}_sum_squared_logs"),
                    format!("intDiv({n} * {logs} * {logs} * 101, 100)"),
                ),
                (format!("{name}_min"), format!("intDiv({mean}, 2)")),
                (format!("{name}_max"), format!("{mean} * 2")),
                (format!("{name}_histogram"), histogram),
            ]
        };
        let mut columns: Vec<(String, String)> = [
            ("service", "'photos'"),
            ("kind", "'request'"),
            (
                "endpoint",
                "concat('/endpoint/', toString(endpoint), '/{id}')",
            ),
            ("instruction_source", "'none'"),
            ("age", "'warm'"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        columns.push(("deploy".into(), self.deploy_at("at_us")));
        for count in ["n", "weight"] {
            columns.push((count.into(), n.to_string()));
        }
        columns.extend(metric("cpu_ns", "cpu_ns"));
        columns.extend(metric("wall_ns", "(2 * cpu_ns)"));
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        let all = "255";
        let mut details = vec![("minutes", MINUTE_US, all), ("hours", 60 * MINUTE_US, all)];
        if !folded {
            details.push(("hosts", MINUTE_US, group));
        }
        for (detail, width_us, host_group) in details {
            self.run(&format!(
                "INSERT INTO cells_by_detail (detail, start_us, width_us, host_group, {names})
                SELECT '{detail}', at_us - at_us % {width_us}, {width_us}, {host_group}, {values} FROM (
                    SELECT number, {day_us} + intDiv(number, {ENDPOINTS} * {groups}) * {MINUTE_US} AS at_us,
                        intDiv(number, {groups}) % {ENDPOINTS} AS endpoint,
                        300000 + endpoint * 20000 + cityHash64(number, {day_us}) % 200000 AS cpu_ns
                    FROM numbers({rows})
                )"
            ))
            .await;
        }
    }

    async fn rest(&self) {
        let (from_us, until_us) = (self.from_us, self.until_us);
        self.run(&format!(
            "INSERT INTO services VALUES ('photos', {from_us}, {until_us})"
        ))
        .await;
        self.run(&format!(
            "INSERT INTO endpoints SELECT 'photos', concat('/endpoint/', toString(number), '/{{id}}'), {until_us}
            FROM numbers({ENDPOINTS})"
        ))
        .await;
        let record = rmp_serde::to_vec_named(&RequestRecord {
            start_us: until_us,
            endpoint: "/endpoint/7/{id}".into(),
            method: Some("GET".into()),
            status: Some(200),
            weight: 1,
            cpu_ns: Some(1_234_567),
            wall_ns: 2_345_678,
            ..RequestRecord::default()
        });
        let record: String = (record.expect("MessagePack can express it").iter())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.run(&format!(
            "INSERT INTO requests SELECT 'photos', if(number % 2 = 0, '8f2c1a9', '5f9cd00'),
                concat('web-', toString(number % 64)), concat('/endpoint/', toString(number % {ENDPOINTS}), '/{{id}}'),
                {until_us} - 2 * {DAY_US} + intDiv(2 * {DAY_US}, {REQUESTS}) * number AS start_us, NULL,
                300000 + cityHash64(number) % 3000000, start_us, number + 1, unhex('{record}')
            FROM numbers({REQUESTS})"
        ))
        .await;
        self.costliest().await;
    }

    /// As if the records had come in groups of a thousand.
    async fn costliest(&self) {
        let group = "intDiv(position, 1000)";
        let ranked = format!(
            "(SELECT *, 1 + toUInt128(assumeNotNull(cpu_ns)) AS cost,
                row_number() OVER (PARTITION BY {group}, deploy ORDER BY cost DESC) AS of_deploy,
                row_number() OVER (PARTITION BY {group}, deploy, endpoint ORDER BY cost DESC) AS of_endpoint
            FROM requests)"
        );
        let kept = "(of_deploy <= 128 OR of_endpoint <= 8)";
        let columns = "service, deploy, host, endpoint, cost, start_us, instructions, cpu_ns, arrived_us, position, record";
        self.run(&format!(
            "INSERT INTO costliest ({columns}) SELECT {columns} FROM {ranked} WHERE {kept}"
        ))
        .await;
        self.run(&format!(
            "INSERT INTO costliest (service, deploy, endpoint, start_us, cost)
            SELECT service, deploy, endpoint, max(start_us), 1 + max(cost) FROM {ranked} WHERE NOT {kept}
            GROUP BY service, deploy, endpoint, {group}"
        ))
        .await;
    }

    /// Those of which process records tell, and which the watch is to judge.
    pub(crate) async fn last_deploys(&self) {
        let all = (self.until_us - self.from_us) / SPAN_US;
        self.deploys(all - TO_JUDGE, all, "false", "''").await;
    }

    /// Those that the watch did not judge, with a report that it wrote of another.
    pub(crate) async fn judged_before(&self) {
        let report = "(SELECT argMax(report, length(report)) FROM deploys WHERE judged)";
        let all = (self.until_us - self.from_us) / SPAN_US;
        self.deploys(0, all - TO_JUDGE, "true", report).await;
        // Those too that it did not come to in time.
        self.run(&format!(
            "ALTER TABLE deploys UPDATE judged = true, report = {report}
            WHERE NOT judged AND deploy_row <> 0 SETTINGS mutations_sync = 1"
        ))
        .await;
    }

    async fn deploys(&self, first: u64, last: u64, judged: &str, report: &str) {
        let from_us = self.from_us;
        let id = self.deploy_at("started_us");
        let before = self.deploy_at(&format!("(started_us - {SPAN_US})"));
        self.run(&format!(
            "INSERT INTO deploys (service, deploy_row, version, writer, id, started_us, ended_us, replaced, discovered,
                replaced_given, judged, report)
            SELECT 'photos', {first} + number + 1, 1, generateUUIDv4(),
                {id}, {from_us} + ({first} + number) * {SPAN_US} AS started_us, started_us + 10 * {MINUTE_US},
                if(started_us > {from_us}, {before}, NULL), false, true, {judged}, {report}
            FROM numbers({})",
            last - first
        ))
        .await;
    }

    /// The id of the deploy that served then.
    fn deploy_at(&self, time: &str) -> String {
        let from_us = self.from_us;
        format!(
            "substring(lower(hex(toUInt32({FIRST_DEPLOY} + intDiv({time} - {from_us}, {SPAN_US})))), 2)"
        )
    }

    async fn run(&self, sql: &str) {
        let done = self.client.query(sql).execute().await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}
