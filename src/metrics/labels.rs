//! The labels' values: few, fixed, and none of them a client's own words.

use http::StatusCode;

use super::series::Series;
use crate::copilot::Reason;
use crate::copilot::vocabulary::{Class, Kind};

/// An enumeration whose values are those of one label.
macro_rules! label {
    ($(#[$meta:meta])* $name:ident = $label:literal { $($(#[$value_meta:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_meta])* $value,)+
        }

        impl Series for $name {
            fn all() -> Vec<Self> {
                vec![$(Self::$value),+]
            }

            fn labels(self) -> Vec<(&'static str, &'static str)> {
                vec![($label, match self { $(Self::$value => $text),+ })]
            }
        }
    };
}

label! {
    /// What becomes of the bytes in a tunnel.
    TunnelRoute = "route" {
        /// TLS ends here, and requests are served.
        Intercept = "intercept",
        /// They are carried unseen.
        Tunnel = "tunnel",
        /// They were requests once, and are carried since the 101 of an upgrade.
        Upgrade = "upgrade",
    }
}

label! {
    /// How a request came.
    RequestKind = "type" {
        /// CONNECT, which asks for a tunnel.
        Connect = "connect",
        /// In clear text, for a server or for the install page.
        Plain = "plain",
        /// In an intercepted tunnel.
        Intercepted = "intercepted",
    }
}

label! {
    /// The first digit of an answer's status.
    StatusClass = "code" {
        /// 100 to 199, which here is 101 alone.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 to 599.
        ServerError = "5xx",
        /// Anything else that a server made up.
        Other = "other",
    }
}

impl From<StatusCode> for StatusClass {
    fn from(status: StatusCode) -> Self {
        match status.as_u16() {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Other,
        }
    }
}

label! {
    /// What a request that was answered with 407 had brought.
    Credentials = "credentials" {
        /// Nothing: most clients begin like that.
        Missing = "missing",
        /// A name or password that is not valid.
        Wrong = "wrong",
    }
}

label! {
    /// Why a server gave no answer, or not all of it.
    UpstreamFailure = "kind" {
        /// The name could not be resolved.
        Resolve = "resolve",
        /// The destination's network is not allowed.
        Forbidden = "forbidden",
        /// No connection was accepted.
        Connect = "connect",
        /// `upstream.connect_timeout` passed.
        ConnectTimeout = "connect_timeout",
        /// Certificate or handshake are not acceptable.
        Tls = "tls",
        /// The beginning of HTTP was wrong.
        Http = "http",
        /// `upstream.parent_proxy` refused.
        ParentProxy = "parent_proxy",
        /// The attempt was given up.
        Abandoned = "abandoned",
        /// The connection broke before the answer.
        Broken = "broken",
        /// `upstream.first_byte_timeout` passed.
        FirstByteTimeout = "first_byte_timeout",
        /// The connection broke within the answer.
        BrokenAnswer = "broken_answer",
        /// `upstream.idle_timeout` passed within the answer.
        IdleTimeout = "idle_timeout",
    }
}

impl<A: Series, B: Series> Series for (A, B) {
    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }

    fn labels(self) -> Vec<(&'static str, &'static str)> {
        [self.0.labels(), self.1.labels()].concat()
    }
}

impl Series for Kind {
    fn all() -> Vec<Self> {
        vec![Self::Completions, Self::Chat]
    }

    fn labels(self) -> Vec<(&'static str, &'static str)> {
        vec![("kind", self.as_str())]
    }
}

impl Series for Class {
    fn all() -> Vec<Self> {
        vec![Self::Turn, Self::Step, Self::Noise]
    }

    fn labels(self) -> Vec<(&'static str, &'static str)> {
        vec![("class", self.as_str())]
    }
}

impl Series for Reason {
    /// Those of noise.
    fn all() -> Vec<Self> {
        Self::ALL.into_iter().filter(|reason| reason.class() == Class::Noise).collect()
    }

    fn labels(self) -> Vec<(&'static str, &'static str)> {
        vec![("reason", self.as_str())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        let class = |status| StatusClass::from(StatusCode::from_u16(status).unwrap()).labels();
        let told: Vec<_> = [101, 204, 304, 407, 502, 999].into_iter().flat_map(class).collect();
        assert_eq!(told, ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].map(|class| ("code", class)));
    }

    #[test]
    fn a_pair_has_every_combination_once() {
        let labels: Vec<_> = <(Kind, Class)>::all().into_iter().map(Series::labels).collect();
        assert_eq!(labels.len(), 6);
        assert!(labels.contains(&vec![("kind", "chat"), ("class", "step")]));
    }
}
