//! What a TLS error means, in words that stay the same: the ledger groups by them. The library's own text, which
//! has the details, changes from version to version.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What went wrong with TLS towards an origin, in a few stable words (P28).
pub fn origin_fault(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(why) => certificate_label(why),
        Error::NoCertificatesPresented => "no certificate",
        Error::PeerIncompatible(why) => incompatible_label(why),
        Error::AlertReceived(alert) => alert_label(*alert),
        Error::NoApplicationProtocol => "no common application protocol",
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => "not TLS, or broken TLS",
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => "TLS protocol violation",
        Error::DecryptError => "TLS record damaged",
        _ => "TLS failure",
    }
}

fn certificate_label(why: &CertificateError) -> &'static str {
    use CertificateError as C;
    match why {
        C::Expired | C::ExpiredContext { .. } => "certificate expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "certificate not yet valid",
        C::UnknownIssuer => "certificate from an unknown issuer",
        C::NotValidForName | C::NotValidForNameContext { .. } => "certificate for another name",
        C::Revoked => "certificate revoked",
        C::BadSignature => "certificate signature wrong",
        C::BadEncoding => "certificate unreadable",
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "certificate for another purpose",
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "certificate with a weak or unknown signature"
        }
        C::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "certificate self-signed (a CA certificate used by a server)"
        }
        _ => "certificate not acceptable",
    }
}

fn incompatible_label(why: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as P;
    match why {
        P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig => "TLS version too old",
        _ => "no common TLS parameters",
    }
}

fn alert_label(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::ProtocolVersion => "TLS version refused",
        A::HandshakeFailure | A::InsufficientSecurity => "TLS handshake refused",
        A::UnrecognisedName => "TLS name refused",
        A::CertificateRequired => "client certificate required",
        A::BadCertificate | A::UnknownCA | A::CertificateUnknown | A::CertificateExpired => {
            "client certificate refused"
        }
        A::NoApplicationProtocol => "no common application protocol",
        A::InternalError => "TLS internal error at the origin",
        _ => "TLS alert",
    }
}
