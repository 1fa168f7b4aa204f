//! Whether a server answers at all.
//!
//! The client's `connect_timeout` ends with TCP's handshake, which the system also makes for a server that hangs; and a query has
//! no time limit but the server's own. So a server that never answers would keep for good whoever asks it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use postgres::config::Host;

use super::error::Answer;
use crate::config::PostgresUrl;

/// SSLRequest: its length and its code (PostgreSQL's manual, "Message Formats"). Every server answers it with a byte, and
/// says nothing of clients that leave then.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// What the URL's type sees to that there is.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fails where the server that would be connected to is silent. One that cannot be reached is passed over: to connect tells why.
///
/// # Errors
/// `TimedOut` after the URL's `connect_timeout`.
pub(super) fn expect_answer(url: &PostgresUrl) -> Answer<()> {
    let config = url.config();
    let timeout = config.get_connect_timeout().copied().unwrap_or(TIMEOUT);
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match ask(host, port, timeout) {
            Ok(()) => return Ok(()),
            Err(error) if is_silence(&error) => {
                let silence = format!("{} takes connections but does not answer", shown(host, port));
                return Err(io::Error::new(io::ErrorKind::TimedOut, silence).into());
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// A read that ran into its time limit (`WouldBlock` on Unix, `TimedOut` on Windows).
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn shown(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) => format!("{name}:{port}"),
        #[cfg(unix)]
        Host::Unix(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
    }
}

fn ask(host: &Host, port: u16, timeout: Duration) -> io::Result<()> {
    match host {
        Host::Tcp(name) => {
            let mut last = Ok(());
            for address in (name.as_str(), port).to_socket_addrs()? {
                // Beyond the time limit it is out of reach, of which the client tells.
                let Ok(stream) = TcpStream::connect_timeout(&address, timeout) else { continue };
                stream.set_read_timeout(Some(timeout))?;
                last = answers(stream);
                if last.is_ok() {
                    break;
                }
            }
            last
        }
        #[cfg(unix)]
        Host::Unix(folder) => {
            let stream = std::os::unix::net::UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")))?;
            stream.set_read_timeout(Some(timeout))?;
            answers(stream)
        }
    }
}

fn answers(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(&SSL_REQUEST)?;
    stream.read_exact(&mut [0])
}
