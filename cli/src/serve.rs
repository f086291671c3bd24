use std::net::SocketAddr;

use anyhow::{Context, bail};
use appweight::thresholds::Thresholds;
use appweight_collector::{Access, Collector, CollectorOptions, Hook};
use appweight_dashboard::QueryClient;
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tower::{ServiceExt, service_fn};

use crate::accept::{Patience, accept};
use crate::args::{At, Dashboard, Serve};
use crate::collector::trusting;
use crate::itself::{Acquaintance, Itself};
use crate::store_address::StoreAddress;
use crate::tls::Shown;

/// Collector and dashboard in one process.
pub(crate) fn serve(options: &Serve) -> anyhow::Result<()> {
    run_collector(options, |collector, access, measure| {
        let (api, inner) = (measure(collector.router()), collector.inner_router());
        // Whoever sees the pages was let in: they ask for everybody alike.
        let pages = appweight_dashboard::router(QueryClient::in_process(inner));
        let pages = measure(access.guard_pages(pages));
        // Not nested routes: what an outer route catches would be among the inner one's parameters.
        Router::new().fallback_service(service_fn(move |request: Request| {
            let room = if is_api(request.uri().path()) {
                &api
            } else {
                &pages
            };
            room.clone().oneshot(request)
        }))
    })
}

fn is_api(path: &str) -> bool {
    path.starts_with("/v1/") || ["/v1", "/healthz", "/metrics"].contains(&path)
}

/// The collector alone.
pub(crate) fn collector(options: &Serve) -> anyhow::Result<()> {
    run_collector(options, |collector, _, measure| measure(collector.router()))
}

/// The dashboard alone.
pub(crate) fn dashboard(options: &Dashboard) -> anyhow::Result<()> {
    let at = &options.at;
    if !options.listen.ip().is_loopback() && at.token.is_none() && !options.insecure_no_tokens {
        bail!(
            "whoever reaches {} could see the pages: give --token, which readers then need too, listen on 127.0.0.1, or say --insecure-no-tokens",
            options.listen
        );
    }
    runtime()?.block_on(async {
        let mut client = client(at).context("--collector")?;
        let mut pages = Access::default();
        if let Some(token) = &at.token {
            client = client.with_token(token).context("--token")?;
            // What the dashboard is let in by, its readers need too.
            pages.allow_read(token.parse().context("--token")?);
        }
        let stop = stop_signal()?;
        let pages = pages.guard_pages(appweight_dashboard::router(client));
        let listener = bind(options.listen).await?;
        answer(listener, &options.shown, "dashboard", pages, stop).await
    })
}

fn client(at: &At) -> anyhow::Result<QueryClient> {
    if !at.collector.starts_with("https://") {
        return Ok(QueryClient::remote(&at.collector)?);
    }
    #[cfg(feature = "tls")]
    {
        let authorities = crate::tls::authorities(at.ca_file.as_deref())?;
        Ok(QueryClient::remote_over_tls(&at.collector, authorities)?)
    }
    #[cfg(not(feature = "tls"))]
    bail!("{}", crate::tls::NOT_BUILT_IN)
}

/// Layers a router so that its requests are measured, if the collector measures itself.
type Measure<'a> = &'a dyn Fn(Router) -> Router;

fn run_collector(
    options: &Serve,
    rooms: impl FnOnce(&Collector, &Access, Measure<'_>) -> Router,
) -> anyhow::Result<()> {
    let mut access = access(options)?;
    let hooks = hooks(options)?;
    let known_by = options
        .measure_itself
        .then(|| Acquaintance::make(&mut access))
        .transpose()?;
    warn_of_what_is_not_kept(options);
    // Before a store is made or brought up to date: the options are wrong as a whole.
    #[cfg(feature = "tls")]
    crate::tls::Certificate::of(&options.shown)?;
    runtime()?.block_on(async {
        let collector = Collector::open(collector_options(options, access.clone(), hooks))
            .await
            .with_context(|| format!("cannot use the store {}", options.store()))?;
        let stop = stop_signal()?;
        let (serving, over) = oneshot::channel::<()>();
        let watching = tokio::spawn({
            let (collector, stop) = (collector.clone(), stop.clone());
            // A server that cannot listen or breaks takes the watch loop with it.
            let shutdown = async {
                tokio::select! {
                    () = stopped(stop) => {}
                    _ = over => {}
                }
            };
            async move { collector.watch(shutdown).await }
        });
        tracing::info!(store = %options.store(), "store opened");
        let served = async {
            let listener = bind(options.listen).await?;
            let address = listener
                .local_addr()
                .context("the listener has no address")?;
            let itself = known_by.map(|known_by| Itself::start(address, &known_by, &access));
            let measure = |room: Router| match &itself {
                Some(itself) => itself.measure(room),
                None => room,
            };
            let mut router = rooms(&collector, &access, &measure);
            let mut stop = stop;
            if let Some(itself) = itself {
                router = itself.leave_out_own(router, collector.router());
                stop = after(stop, itself.stop());
            }
            answer(listener, &options.shown, "collector", router, stop).await
        };
        let served = served.await;
        drop(serving);
        watching.await.context("the watch loop failed")?;
        collector
            .close()
            .await
            .context("the store could not be closed")?;
        served
    })
}

/// Cells pass from one detail to the next, and what goes away whole is in none.
fn warn_of_what_is_not_kept(options: &Serve) {
    let ages = [
        ("--keep-hosts", options.keep_hosts),
        ("--keep-minutes", options.keep_minutes),
        ("--keep-hours", options.keep_hours),
    ];
    for pair in ages.windows(2) {
        let [(detailed, longer), (coarser, shorter)] = pair else {
            continue;
        };
        if longer > shorter {
            tracing::warn!(
                "{detailed} is longer than {coarser}: what {detailed} is to keep goes when {coarser} is over, after {}",
                humantime::format_duration(*shorter)
            );
        }
    }
}

/// Turns true when that work is done, which is begun at the signal.
fn after(
    stop: watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send + 'static,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        stopped(stop).await;
        work.await;
        sender.send_replace(true);
        std::future::pending::<()>().await;
    });
    receiver
}

/// The tokens that are asked for. To listen where others reach it needs both kinds.
fn access(options: &Serve) -> anyhow::Result<Access> {
    let mut access = Access::default();
    if let Some(path) = &options.tokens_file {
        let named = || format!("--tokens-file {}", path.display());
        let list = std::fs::read_to_string(path).with_context(named)?;
        access.add_list(&list).with_context(named)?;
    }
    for token in &options.read_token {
        access.allow_read(token.parse().context("--read-token")?);
    }
    for token in &options.write_token {
        let (service, token) = match token.split_once('=') {
            Some((service, token)) => (Some(service), token),
            None => (None, token.as_str()),
        };
        access.allow_write(service, token.parse().context("--write-token")?);
    }
    if !options.listen.ip().is_loopback() && !access.is_closed() && !options.insecure_no_tokens {
        bail!(
            "whoever reaches {} could read and write: give --read-token and --write-token (or both in --tokens-file), listen on 127.0.0.1, or say --insecure-no-tokens",
            options.listen
        );
    }
    Ok(access)
}

/// Who is told of alerts.
fn hooks(options: &Serve) -> anyhow::Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    if let Some(url) = &options.alert_webhook {
        let secret = options.alert_secret.as_deref();
        let hook = Hook::webhook(url, secret, trusting(url, None)?);
        hooks.push(hook.context("--alert-webhook, --alert-secret")?);
    }
    if let Some(url) = &options.alert_slack {
        hooks.push(Hook::slack(url, trusting(url, None)?).context("--alert-slack")?);
    }
    Ok(hooks)
}

fn collector_options(options: &Serve, access: Access, hooks: Vec<Hook>) -> CollectorOptions {
    let mut collector = CollectorOptions {
        access,
        flags_given: options.flag_given.iter().cloned().collect(),
        thresholds: Thresholds {
            confidence: options.confidence,
            min_change: options.min_change,
            min_change_by_endpoint: options.min_change_of.iter().cloned().collect(),
            false_discoveries: options.false_discoveries,
            min_requests: options.min_requests,
            ..Thresholds::default()
        },
        weight_window: options.weight_window,
        settle: options.settle,
        keep_records: options.keep_records,
        keep_hosts: options.keep_hosts,
        keep_minutes: options.keep_minutes,
        keep_hours: options.keep_hours,
        keep_deploys: options.keep_deploys,
        keep_profiles: options.keep_profiles,
        keep_batch_ids: options.keep_batch_ids,
        queue_bytes: options.queue_bytes,
        max_services: options.max_services,
        max_endpoints: options.max_endpoints,
        watch: !options.no_watch,
        hooks,
        public_url: options.public_url.clone(),
        ..CollectorOptions::default()
    };
    match options.store() {
        StoreAddress::Sqlite(file) => collector.database = file,
        #[cfg(feature = "clickhouse")]
        StoreAddress::Clickhouse(clickhouse) => collector.clickhouse = Some(clickhouse),
    }
    collector
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Turns true at the first interrupt or termination signal.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
        // The receivers live as long as the sender does.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: then there is nothing more to serve either.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (--listen chooses another address)"))
}

/// Serves until it is asked to stop.
async fn answer(
    listener: TcpListener,
    shown: &Shown,
    what: &str,
    router: Router,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    #[cfg(feature = "tls")]
    if let Some(certificate) = crate::tls::Certificate::of(shown)? {
        let listener = crate::tls::TlsListener::new(listener, certificate)
            .context("the listener has no address")?;
        tracing::info!("{what} listening on https://{address}");
        accept(listener, router, stopped(stop), Patience::default()).await;
        return Ok(());
    }
    #[cfg(not(feature = "tls"))]
    if shown.tls_cert.is_some() {
        bail!("{}", crate::tls::NOT_BUILT_IN);
    }
    tracing::info!("{what} listening on http://{address}");
    accept(listener, router, stopped(stop), Patience::default()).await;
    Ok(())
}
