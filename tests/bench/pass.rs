//! What copilens is measured against: hudsucker as it comes, with TCP_NODELAY on both sides, passing everything on.

use std::net::SocketAddr;
use std::sync::Arc;

use copilens::certs::{CaFiles, LeafAuthority};
use hudsucker::Proxy;
use hudsucker::certificate_authority::CertificateAuthority;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

struct Shared(LeafAuthority);

impl CertificateAuthority for Shared {
    async fn gen_server_config(&self, authority: &http::uri::Authority) -> Arc<rustls::ServerConfig> {
        self.0.gen_server_config(authority).await
    }
}

/// Makes its CA in `BENCH_CERTS` and writes its address to standard output.
pub async fn run() {
    let ca = CaFiles::open_or_create(std::env::var("BENCH_CERTS").unwrap().as_ref()).unwrap();
    let leafs = LeafAuthority::new(ca, Arc::new(|_| true)).unwrap();
    let upstream: SocketAddr = std::env::var("BENCH_UPSTREAM").unwrap().parse().unwrap();
    let roots =
        copilens::sim::tls::roots_from_pem(&std::fs::read_to_string(std::env::var("BENCH_CA").unwrap()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.unwrap())
        .with_no_client_auth();
    let tcp = tower::service_fn(move |_: http::Uri| async move {
        let stream = TcpStream::connect(upstream).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let listener = copilens::proxy::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    println!("{}", listener.local_addr().unwrap());
    let proxy = Proxy::builder()
        .with_listener(TcpListener::from_std(listener).unwrap())
        .with_ca(Shared(leafs))
        .with_http_connector(connector)
        .build()
        .unwrap();
    proxy.start().await.unwrap();
}
