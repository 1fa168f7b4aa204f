//! Who may open what: the admin token opens everything, a token of `copilens tokens` what its scope covers.
//!
//! A token comes as `Authorization: Bearer` (RFC 6750 section 2.1), as `token` (GitHub's older form, which octokit sends), or
//! as the password of Basic credentials with any name (RFC 7617), which is how `curl -u` and git's tools send one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};

use super::token::AdminToken;
use crate::config::Tokens;
use crate::identity::basic::Credentials;
use crate::identity::{Scope, TokenDigest};

/// The tokens that open the admin listener.
#[derive(Clone)]
pub struct Access {
    admin: AdminToken,
    tokens: Arc<Tokens>,
}

impl Access {
    /// By the admin token, and by the tokens of a file.
    #[must_use]
    pub fn new(admin: AdminToken, tokens: Arc<Tokens>) -> Self {
        Self { admin, tokens }
    }

    /// What the token of this digest opens. May block.
    fn scope(&self, token: TokenDigest, now: DateTime<Utc>) -> Option<Scope> {
        let listed = self.tokens.scope(token, now);
        if self.admin.is(token) { Some(Scope::Admin) } else { listed }
    }

    /// # Errors
    /// Why who sends these headers may not do what takes this scope.
    async fn admit(&self, headers: &HeaderMap, needed: Scope) -> Result<(), Refusal> {
        let token = token_in(headers).ok_or(if headers.contains_key(AUTHORIZATION) {
            Refusal::Wrong
        } else {
            Refusal::Missing
        })?;
        let access = self.clone();
        let scope = tokio::task::spawn_blocking(move || access.scope(token, Utc::now())).await.unwrap_or_default();
        match scope {
            Some(scope) if scope >= needed => Ok(()),
            Some(scope) => Err(Refusal::Scope { scope, needed }),
            None => Err(Refusal::Wrong),
        }
    }
}

/// The token that the request sends; `None` without one, and with several, of which none can be meant.
fn token_in(headers: &HeaderMap) -> Option<TokenDigest> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.as_bytes();
    let after = |scheme: &str| {
        let (found, token) = value.split_at_checked(scheme.len())?;
        found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| TokenDigest::of(token.trim_ascii()))
    };
    let as_password = || Credentials::parse(value).ok().map(|sent| TokenDigest::of(sent.password.reveal().as_bytes()));
    after("bearer ").or_else(|| after("token ")).or_else(as_password)
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No token came.
    #[error("send a token: Authorization: Bearer TOKEN")]
    Missing,
    /// It opens nothing: unknown, removed or expired, or not understood.
    #[error("this token opens nothing here; make one with `copilens tokens add`")]
    Wrong,
    /// It opens less.
    #[error("this token's scope is {scope}; {needed} is needed")]
    Scope {
        /// What the token opens.
        scope: Scope,
        /// What the request takes.
        needed: Scope,
    },
}

impl Refusal {
    /// 401 where another token may help, 403 where this one is known.
    pub(super) fn status(self) -> StatusCode {
        if matches!(self, Self::Scope { .. }) { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }
    }

    /// Bearer alone is asked for, though more is accepted: a browser would keep Basic credentials and send them with requests
    /// that other sites have it make.
    pub(super) fn answer(self, body: impl IntoResponse) -> Response {
        let challenge = [(WWW_AUTHENTICATE, r#"Bearer realm="copilens""#)];
        match self.status() {
            StatusCode::UNAUTHORIZED => (StatusCode::UNAUTHORIZED, challenge, body).into_response(),
            status => (status, body).into_response(),
        }
    }
}

/// What stands before a page: which tokens pass, and how the others are told.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) access: Access,
    pub(super) needed: Scope,
    pub(super) refuse: fn(Refusal) -> Response,
}

/// For pages that people and scrapers read.
pub(super) fn refuse_in_words(refusal: Refusal) -> Response {
    refusal.answer(format!("{refusal}\n"))
}

/// Lets requests pass whose token opens enough.
pub(super) async fn require(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.access.admit(request.headers(), guard.needed).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => (guard.refuse)(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tokens;
    use crate::identity::Password;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_is_found_in_each_form_and_only_once() {
        let basic =
            |name: &str| Credentials { name: name.to_owned(), password: Password::new("abc") }.to_header_value();
        for form in ["Bearer abc", "bearer abc", "BEARER  abc ", "token abc", "Token abc", &basic(""), &basic("x")] {
            assert_eq!(token_in(&headers(&[form])), Some(TokenDigest::of(b"abc")), "{form}");
        }
        for form in ["", "abc", "Bearer", "Bearerabc", "tokenabc", "Basic abc", "Digest abc"] {
            assert_eq!(token_in(&headers(&[form])), None, "{form}");
        }
        assert_eq!(token_in(&headers(&[])), None);
        assert_eq!(token_in(&headers(&["Bearer abc", "Bearer abc"])), None);
    }

    #[tokio::test]
    async fn each_token_opens_what_its_scope_covers_and_the_admin_token_everything() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin-token");
        let access = Access::new(AdminToken::read_or_create(&file).unwrap(), Arc::new(Tokens::beside(&file)));
        let admin = std::fs::read_to_string(&file).unwrap();
        let bearer = |token: &str| headers(&[&format!("Bearer {}", token.trim())]);
        for scope in Scope::ALL {
            let token = tokens::add(&file, scope.name().parse().unwrap(), scope, (Utc::now(), None)).unwrap();
            for needed in Scope::ALL {
                let refusal = Refusal::Scope { scope, needed };
                let expected = if scope >= needed { Ok(()) } else { Err(refusal) };
                assert_eq!(access.admit(&bearer(token.reveal()), needed).await, expected);
                assert_eq!(access.admit(&bearer(&admin), needed).await, Ok(()));
            }
            tokens::remove(&file, scope.name()).unwrap();
            assert_eq!(access.admit(&bearer(token.reveal()), Scope::Metrics).await, Err(Refusal::Wrong));
        }
        assert_eq!(access.admit(&headers(&[]), Scope::Metrics).await, Err(Refusal::Missing));
        assert_eq!(access.admit(&headers(&["Bearer"]), Scope::Metrics).await, Err(Refusal::Wrong));
        std::fs::write(folder.path().join("tokens.toml"), "nonsense").unwrap();
        assert_eq!(access.admit(&bearer(&admin), Scope::Admin).await, Ok(()));
    }

    #[test]
    fn a_refusal_tells_what_to_do_and_asks_for_bearer_alone() {
        let known = refuse_in_words(Refusal::Scope { scope: Scope::Metrics, needed: Scope::Viewer });
        assert_eq!((known.status(), known.headers().get(WWW_AUTHENTICATE)), (StatusCode::FORBIDDEN, None));
        for refusal in [Refusal::Missing, Refusal::Wrong] {
            let answer = refuse_in_words(refusal);
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(answer.headers()[WWW_AUTHENTICATE], r#"Bearer realm="copilens""#);
        }
    }
}
