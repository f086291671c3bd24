use super::parse::parse_collector;
use super::*;

fn with(variables: &[(&str, &str)]) -> (Settings, Vec<BadOption>) {
    let mut settings = Settings::default();
    let bad = settings.override_from(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    (settings, bad)
}

#[test]
fn every_variable_overrides() {
    let (settings, bad) = with(&[
        ("APPWEIGHT_DISABLED", "0"),
        ("APPWEIGHT_COLLECTOR", "http://collector:9000/"),
        ("APPWEIGHT_SERVICE", "photos"),
        ("APPWEIGHT_DEPLOY", "8f2c1a9"),
        ("APPWEIGHT_HOST", "web-1"),
        ("APPWEIGHT_CLUSTER", "c"),
        ("APPWEIGHT_REGION", "r"),
        ("APPWEIGHT_CELL_WIDTH", "1s"),
        ("APPWEIGHT_WARM_UP", "1500ms"),
        ("APPWEIGHT_COUNT_ONE_IN", "3"),
        ("APPWEIGHT_COUNT_TARGET", "250"),
        ("APPWEIGHT_CHECK_CLOCK", "1"),
        ("APPWEIGHT_RECORD_ONE_IN", "7"),
        ("APPWEIGHT_PROFILE_ONE_IN", "20"),
        ("APPWEIGHT_PROFILE_TIMERS", "wall, page_faults"),
        ("APPWEIGHT_USER_KEY", "secret"),
        ("APPWEIGHT_PROCESS_INTERVAL", "2 s"),
        ("APPWEIGHT_TOKEN", "hush-hush"),
        ("APPWEIGHT_CA_FILE", "/etc/ca.pem"),
        ("APPWEIGHT_QUEUE_BYTES", "1000"),
        ("APPWEIGHT_SPOOL", "/var/spool/appweight"),
        ("APPWEIGHT_SPOOL_BYTES", "2 MiB"),
    ]);
    assert_eq!(bad, []);
    assert!(!settings.disabled);
    assert_eq!(settings.collector, "http://collector:9000");
    let origin = &settings.origin;
    assert_eq!(
        [
            &origin.service,
            &origin.deploy,
            &origin.host,
            &origin.cluster,
            &origin.region
        ],
        ["photos", "8f2c1a9", "web-1", "c", "r"]
    );
    assert_eq!(settings.cell_width, Duration::from_secs(1));
    assert_eq!(settings.warm_up, Duration::from_millis(1500));
    assert_eq!(settings.record_one_in, 7);
    assert_eq!(settings.profile_one_in, 20);
    let timers: Vec<&str> = settings.profile_timers.iter().map(Timer::name).collect();
    assert_eq!(timers, ["wall", "page_faults"]);
    assert_eq!(settings.count_one_in, Some(OneIn::Fixed(3)));
    assert_eq!(settings.count_target, 250);
    assert!(settings.check_clock);
    assert_eq!(settings.user_key.as_deref(), Some("secret"));
    assert_eq!(settings.process_interval, Duration::from_secs(2));
    assert_eq!(settings.token.as_deref(), Some("hush-hush"));
    assert_eq!(settings.ca_file, Some("/etc/ca.pem".into()));
    assert_eq!(settings.queue_bytes, 1_000);
    assert_eq!(settings.spool, Some("/var/spool/appweight".into()));
    assert_eq!(settings.spool_bytes, 2 << 20);
    let said = format!("{settings:?}");
    assert!(!said.contains("secret") && !said.contains("hush"), "{said}");
}

#[test]
fn a_program_that_names_no_deploy_has_the_one_that_it_was_built_as() {
    // CI builds the agent once as a deploy of its own, and says here as which.
    let built_as = std::env::var("APPWEIGHT_TEST_BUILT_AS");
    let built_as = built_as.as_deref().unwrap_or("unknown");
    assert_eq!(Settings::default().origin.deploy, built_as);
    let (settings, bad) = with(&[("APPWEIGHT_DEPLOY", "5f9cd00")]);
    assert!(bad.is_empty());
    assert_eq!(settings.origin.deploy, "5f9cd00");
}

#[test]
fn a_bad_value_is_named_and_the_default_stays() {
    let long = "x".repeat(201);
    for (name, value) in [
        ("APPWEIGHT_DISABLED", "maybe"),
        ("APPWEIGHT_COLLECTOR", "127.0.0.1:7070"),
        ("APPWEIGHT_COLLECTOR", "ftp://collector"),
        ("APPWEIGHT_SERVICE", &long),
        ("APPWEIGHT_DEPLOY", ""),
        ("APPWEIGHT_HOST", "a\tb"),
        ("APPWEIGHT_CELL_WIDTH", "60"),
        ("APPWEIGHT_CELL_WIDTH", "0s"),
        ("APPWEIGHT_CELL_WIDTH", "25h"),
        ("APPWEIGHT_CELL_WIDTH", "-1s"),
        ("APPWEIGHT_WARM_UP", "99999999999999999999h"),
        ("APPWEIGHT_RECORD_ONE_IN", "1%"),
        ("APPWEIGHT_USER_KEY", ""),
        ("APPWEIGHT_PROCESS_INTERVAL", "soon"),
        ("APPWEIGHT_PROFILE_ONE_IN", "few"),
        ("APPWEIGHT_PROFILE_TIMERS", "cpu,sundial"),
        ("APPWEIGHT_PROFILE_TIMERS", ","),
        ("APPWEIGHT_TOKEN", ""),
        ("APPWEIGHT_TOKEN", "two words"),
        ("APPWEIGHT_TOKEN", "line\nbreak"),
        ("APPWEIGHT_QUEUE_BYTES", "-1"),
        ("APPWEIGHT_SPOOL_BYTES", "64MB"),
        ("APPWEIGHT_SPOOL_BYTES", "99999999999GiB"),
    ] {
        let (settings, bad) = with(&[(name, value)]);
        assert_eq!(bad.len(), 1, "{name}={value}");
        assert!(bad[0].to_string().starts_with(name), "{}", bad[0]);
        let secret = name.ends_with("TOKEN") && !value.is_empty();
        assert!(!secret || !bad[0].to_string().contains(value), "{}", bad[0]);
        assert_eq!(
            format!("{settings:?}"),
            format!("{:?}", Settings::default())
        );
    }
}

#[test]
fn what_the_service_set_is_checked() {
    let mut settings = Settings::default();
    assert_eq!(
        settings.check().map_err(|bad| bad.option),
        Err("service".to_owned())
    );
    settings.origin.service = "photos".to_owned();
    assert_eq!(settings.check(), Ok(()));
    settings.cell_width = Duration::ZERO;
    assert_eq!(
        settings.check().map_err(|bad| bad.option),
        Err("cell_width".to_owned())
    );
}
#[test]
fn without_its_feature_tls_is_refused_by_name() {
    assert_eq!(
        parse_collector("https://collector/", true).as_deref(),
        Ok("https://collector")
    );
    let refusal = parse_collector("https://collector", false).unwrap_err();
    assert!(refusal.contains("feature `tls`"), "{refusal}");
    assert!(parse_collector("http://collector", false).is_ok());
}

#[test]
fn an_empty_folder_turns_the_spool_off() {
    let mut settings = Settings {
        spool: Some("/var/spool/built-in".into()),
        ..Settings::default()
    };
    assert!(
        settings
            .override_from(&|name| (name == "APPWEIGHT_SPOOL").then(String::new))
            .is_empty()
    );
    assert_eq!(settings.spool, None);
}

#[test]
fn a_token_on_an_open_way_is_noticed() {
    let open = |collector: &str, token: Option<&str>| {
        Settings {
            collector: collector.to_owned(),
            token: token.map(str::to_owned),
            ..Settings::default()
        }
        .token_is_sent_openly()
    };
    assert!(open("http://collector.example", Some("t")));
    for collector in [
        "http://127.0.0.1:7070",
        "http://localhost",
        "http://[::1]:7070",
        "https://collector.example",
    ] {
        assert!(!open(collector, Some("t")), "{collector}");
    }
    assert!(!open("http://collector.example", None));
}

#[test]
fn a_child_is_a_host_of_its_own_unless_it_is_named() {
    let mut parent = Settings {
        process: 1,
        ..Settings::default()
    };
    parent.origin.host = default_host(1);
    assert_eq!(
        parent.in_child().origin.host,
        default_host(std::process::id())
    );
    parent.origin.host = "web-1".to_owned();
    assert_eq!(parent.in_child().origin.host, "web-1");
}
