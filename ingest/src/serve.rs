//! The accept loop: connections bounded in number, heads bounded in time, and a drain that lets requests in progress end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use gristmill_telemetry::Shutdown;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::config::HttpArgs;

/// The pause after an accept that failed for want of descriptors: the next one would fail at once as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const MAX_HTTP2_STREAMS: u32 = 128;

/// Serves until the shutdown is requested, then waits for requests in progress, at most for the drain's time.
pub(crate) async fn serve(listener: TcpListener, router: Router, args: &HttpArgs, shutdown: &Shutdown) {
    let builder = Arc::new(builder(args));
    let open = Arc::new(Semaphore::new(args.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let taken = tokio::select! {
            () = shutdown.requested() => break,
            taken = take(&listener, &open) => taken,
        };
        let (stream, permit) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                // clients go away as they like, and slow heads are shown the door
                tracing::debug!(error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(args.drain_timeout.into(), graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still in progress at the end of the drain");
    }
}

async fn take(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // first the permit: what cannot be served waits in the kernel and not here
    let permit = Arc::clone(open).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn builder(args: &HttpArgs) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(args.header_timeout.as_duration())
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(Some(args.header_timeout.as_duration()));
    builder
}
