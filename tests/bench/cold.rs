//! A client with no connection yet, and an upstream that is far away: the proxy's own connection to it is warm.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::figures::{Spread, milliseconds};
use crate::load::{Shape, ask};
use crate::process::{Kind, Origin, Target};

/// From here to upstream or back.
const ONE_WAY: Duration = Duration::from_millis(25);
const CLIENTS: usize = 20;

pub async fn compare(origin: &Origin) {
    let far = Origin { address: relay(origin.address).await, ..origin.clone() };
    println!("\ncold: upstream {ONE_WAY:?} away; from connecting to the first event, {CLIENTS} clients one by one, ms");
    for (name, shape) in [("completions", Shape::COMPLETION), ("chat", Shape::CHAT)] {
        let targets = Kind::ALL.map(|kind| Target::start(kind, &far));
        for target in &targets {
            first_event(target, shape).await;
        }
        let mut times: [Vec<f64>; 3] = Default::default();
        for _ in 0..CLIENTS {
            for (target, times) in targets.iter().zip(&mut times) {
                times.push(milliseconds(first_event(target, shape).await));
            }
        }
        for (target, times) in targets.iter().zip(times) {
            println!("  {name:11} {:13} {}", target.kind.name(), Spread::of(times));
        }
    }
}

async fn first_event(target: &Target, shape: Shape) -> Duration {
    let begun = Instant::now();
    let tunnel = target.load.open(shape).await;
    ask(&tunnel, shape).await.events[0] - begun
}

/// Stands for the long way to a server.
async fn relay(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let accepted = Instant::now();
            let server = TcpStream::connect(to).await.unwrap();
            for socket in [&client, &server] {
                socket.set_nodelay(true).unwrap();
            }
            let ((client_out, client_in), (server_out, server_in)) = (client.into_split(), server.into_split());
            // The client's SYN and the answer to it took no time: what it sends first makes up for that.
            tokio::spawn(delay(client_out, server_in, accepted + 2 * ONE_WAY));
            tokio::spawn(delay(server_out, client_in, accepted));
        }
    });
    address
}

/// Passes everything on `ONE_WAY` after it came, as if nothing had come before `earliest`.
async fn delay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, earliest: Instant) {
    let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut is_open = true;
    while is_open || !on_the_way.is_empty() {
        let due = on_the_way.front().map_or_else(Instant::now, |(due, _)| *due);
        tokio::select! {
            read = from.read(&mut buffer), if is_open => match read {
                Ok(0) | Err(_) => is_open = false,
                Ok(size) => on_the_way.push_back((earliest.max(Instant::now()) + ONE_WAY, buffer[..size].to_vec())),
            },
            () = tokio::time::sleep_until(due.into()), if !on_the_way.is_empty() => {
                let (_, bytes) = on_the_way.pop_front().unwrap();
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}
