//! A TCP proxy between one process and one server, which can be slow, cut, silent or deaf in one direction, and which counts
//! what it did. It understands nothing of what it carries.
//!
//! A network that drops packets leaves no gap in a TCP stream: either they are sent again or the connection ends. Here
//! bytes that were dropped are gone, so a connection that has lost some is cut once the weather clears.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What is read at once, and so what a delay holds back at once.
const CHUNK: usize = 64 << 10;

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What our process says.
    ToServer,
    /// What the server says.
    ToClient,
}

/// How the network is just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes at once.
    Fair,
    /// Everything passes, so much later. What comes meanwhile travels together.
    Slow(Duration),
    /// Connections are closed, new ones as soon as they are accepted.
    Cut,
    /// Half-open: connections live and are accepted, and nothing passes, not even their end.
    Silent,
    /// Nothing passes in this direction.
    Deaf(Way),
}

impl Weather {
    fn loses(self, way: Way) -> bool {
        match self {
            Self::Silent => true,
            Self::Deaf(deaf) => deaf == way,
            Self::Fair | Self::Slow(_) | Self::Cut => false,
        }
    }

    fn loses_anything(self) -> bool {
        self.loses(Way::ToServer) || self.loses(Way::ToClient)
    }
}

/// What a proxy did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes that never arrived.
    pub bytes_dropped: u64,
    /// Connections it closed, those among them that it refused.
    pub connections_cut: u64,
    /// Pieces that it held back.
    pub pieces_delayed: u64,
}

impl std::ops::Add for Damage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes_dropped: self.bytes_dropped + other.bytes_dropped,
            connections_cut: self.connections_cut + other.connections_cut,
            pieces_delayed: self.pieces_delayed + other.pieces_delayed,
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    bytes_dropped: AtomicU64,
    connections_cut: AtomicU64,
    pieces_delayed: AtomicU64,
}

/// A running proxy. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    counters: Arc<Counters>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port for what is meant for `server`. The server need not run, then or later.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::Fair);
        let counters = Arc::new(Counters::default());
        let listener = tokio::spawn(listen(listener, server, seen, Arc::clone(&counters)));
        Ok(Self {
            address,
            weather,
            counters,
            listener,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for all connections, old and new.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// What it did so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Damage {
            bytes_dropped: read(&self.counters.bytes_dropped),
            connections_cut: read(&self.counters.connections_cut),
            pieces_delayed: read(&self.counters.pieces_delayed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, weather: watch::Receiver<Weather>, counters: Arc<Counters>) {
    // dropped with this task, and its connections with it
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let connection = Connection {
            weather: weather.clone(),
            counters: Arc::clone(&counters),
            has_gap: AtomicBool::new(false),
        };
        connections.spawn(async move {
            // a server that is dead closes what it would have refused
            if let Ok(server) = TcpStream::connect(server).await {
                connection.carry(client, server).await;
            }
        });
    }
}

struct Connection {
    weather: watch::Receiver<Weather>,
    counters: Arc<Counters>,
    /// Whether bytes of it were dropped.
    has_gap: AtomicBool,
}

impl Connection {
    async fn carry(self, client: TcpStream, server: TcpStream) {
        // what is small must not wait for more: the delays here are meant ones
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            biased;
            () = self.doom() => {
                self.counters.connections_cut.fetch_add(1, Ordering::Relaxed);
            }
            // an error of one side is the end of both, as its cause is with the peers
            _ = self.pump(from_client, to_server, Way::ToServer) => {}
            _ = self.pump(from_server, to_client, Way::ToClient) => {}
        }
    }

    /// Until the connection must be cut.
    async fn doom(&self) {
        let mut weather = self.weather.clone();
        loop {
            let now = *weather.borrow_and_update();
            let broken = self.has_gap.load(Ordering::Relaxed) && !now.loses_anything();
            if now == Weather::Cut || broken || weather.changed().await.is_err() {
                return;
            }
        }
    }

    async fn pump(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from.read(&mut chunk).await?;
            let now = *self.weather.borrow();
            if now.loses(way) {
                self.has_gap.store(true, Ordering::Relaxed);
                self.counters.bytes_dropped.fetch_add(length as u64, Ordering::Relaxed);
                if !self.weather.borrow().loses_anything() {
                    // it cleared just now, before anybody could see the gap
                    return Ok(());
                }
                if length == 0 {
                    // the end is lost too: the other side learns of it when the weather clears
                    std::future::pending::<()>().await;
                }
                continue;
            }
            if length == 0 {
                return Ok(());
            }
            if let Weather::Slow(delay) = now {
                self.counters.pieces_delayed.fetch_add(1, Ordering::Relaxed);
                sleep(delay).await;
            }
            to.write_all(&chunk[..length]).await?;
        }
    }
}
