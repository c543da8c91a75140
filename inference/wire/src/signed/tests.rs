use super::*;

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

fn headers(list: [(&'static str, String); 5]) -> HeaderMap {
    list.into_iter()
        .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
        .collect()
}

struct Case {
    origin: Origin,
    method: &'static str,
    path: &'static str,
    purpose: &'static str,
    body: &'static [u8],
}

impl Case {
    fn new() -> Self {
        Self {
            origin: origin("https://gate.example.org"),
            method: "PUT",
            path: "/v1/nodes/a?b=1",
            purpose: purpose::ANNOUNCE,
            body: b"body",
        }
    }

    fn sign(&self, key: &Keypair, time: u64, nonce: u8) -> HeaderMap {
        let request = Request {
            origin: &self.origin,
            method: self.method,
            path: self.path,
            purpose: self.purpose,
            body: self.body,
        };
        headers(sign_at(&request, key, time, [nonce; 16]))
    }

    fn receive(
        &self,
        receiver: &Receiver,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Signed, AuthError> {
        receiver.verify_at((self.method, self.path, self.body), headers, now)
    }
}

#[test]
fn a_request_names_its_signer_for_its_purpose_only() {
    let (case, key) = (Case::new(), Keypair::new());
    let receiver = Receiver::new(case.origin.clone());
    let signed = case
        .receive(&receiver, &case.sign(&key, 1_000, 1), 1_060)
        .unwrap();
    assert_eq!(signed.by(purpose::ANNOUNCE), Ok(key.pubkey()));
    assert!(matches!(signed.by("keys"), Err(AuthError::Purpose { .. })));
}

#[test]
fn any_change_breaks_the_signature() {
    type Change = fn(&mut Case);
    let changes: [Change; 4] = [
        |c| c.method = "GET",
        |c| c.path = "/v1/nodes/b",
        |c| c.body = b"bodY",
        |c| c.body = b"",
    ];
    let key = Keypair::new();
    let receiver = Receiver::new(Case::new().origin);
    let signed = Case::new().sign(&key, 1_000, 1);
    for change in changes {
        let mut case = Case::new();
        change(&mut case);
        assert!(matches!(
            case.receive(&receiver, &signed, 1_000),
            Err(AuthError::Signature { .. })
        ));
    }
    for (name, value) in [
        (HEADER_PURPOSE, "keys"),
        (HEADER_TIME, "1001"),
        (HEADER_NONCE, "00000000000000000000000000000000"),
    ] {
        let mut changed = signed.clone();
        changed.insert(name, value.parse().unwrap());
        let case = Case::new();
        assert!(
            matches!(
                case.receive(&receiver, &changed, 1_000),
                Err(AuthError::Signature { .. })
            ),
            "{name}"
        );
    }
    for name in [
        HEADER_KEY,
        HEADER_TIME,
        HEADER_NONCE,
        HEADER_PURPOSE,
        HEADER_SIGNATURE,
    ] {
        let mut less = signed.clone();
        less.remove(name);
        assert_eq!(
            Case::new().receive(&receiver, &less, 1_000),
            Err(AuthError::Header(name))
        );
    }
    // Two parts can't be read as two others.
    let moved = Request {
        origin: &Case::new().origin,
        method: "PUT",
        path: "/v1/nodes/a?b=1announce",
        purpose: "",
        body: b"body",
    };
    let signed = headers(sign_at(&moved, &key, 1_000, [1; 16]));
    assert!(Case::new().receive(&receiver, &signed, 1_000).is_err());
}

#[test]
fn a_request_for_one_receiver_is_worth_nothing_at_another() {
    let (case, key) = (Case::new(), Keypair::new());
    let signed = case.sign(&key, 1_000, 1);
    for other in [
        "http://gate.example.org",
        "https://gate.example.org:8443",
        "https://node.example.org",
    ] {
        let receiver = Receiver::new(origin(other));
        assert!(
            matches!(
                case.receive(&receiver, &signed, 1_000),
                Err(AuthError::Signature { .. })
            ),
            "{other}"
        );
    }
    let local = Case {
        origin: origin("http://localhost:4002"),
        ..Case::new()
    };
    let receiver = Receiver::new(origin("http://127.0.0.1:4002"));
    assert!(
        local
            .receive(&receiver, &local.sign(&key, 1_000, 1), 1_000)
            .is_ok()
    );
}

#[test]
fn a_request_is_taken_once_and_for_a_minute() {
    let (case, key) = (Case::new(), Keypair::new());
    let receiver = Receiver::new(case.origin.clone());
    let signed = case.sign(&key, 1_000, 1);
    assert!(matches!(
        case.receive(&receiver, &signed, 1_061),
        Err(AuthError::Time { .. })
    ));
    assert!(matches!(
        case.receive(&receiver, &signed, 994),
        Err(AuthError::Time { .. })
    ));
    assert!(case.receive(&receiver, &signed, 995).is_ok());
    assert_eq!(
        case.receive(&receiver, &signed, 1_000),
        Err(AuthError::Replayed)
    );
    assert_eq!(
        case.receive(&receiver, &signed, 1_060),
        Err(AuthError::Replayed)
    );
    assert!(
        case.receive(&receiver, &case.sign(&key, 1_000, 2), 1_060)
            .is_ok()
    );
    assert!(
        case.receive(&receiver, &case.sign(&Keypair::new(), 1_000, 1), 1_060)
            .is_ok()
    );
}

#[test]
fn a_flood_makes_no_request_work_twice_and_shuts_nobody_out() {
    let (mut seen, key) = (Seen::new(4), Pubkey::new_from_array([1; 32]));
    assert!(seen.first(&key, &[0; 16], 1_000, 1_010));
    for i in 1..40u8 {
        // Honest clocks are near the receiver's.
        assert!(
            seen.first(&key, &[i; 16], 1_010 + u64::from(i), 1_010 + u64::from(i)),
            "{i}"
        );
        assert!(
            !seen.first(&key, &[0; 16], 1_000, 1_010 + u64::from(i)),
            "{i}"
        );
        assert!(seen.count <= 4);
    }
}

#[test]
fn a_check_names_job_and_validator() {
    let (job, validator) = (
        Pubkey::new_from_array([3; 32]),
        Pubkey::new_from_array([4; 32]),
    );
    assert_eq!(
        purpose::parse_check(&purpose::check(&job, &validator)),
        Some((job, validator))
    );
    assert_eq!(purpose::parse_check(&purpose::evidence(&job)), None);
    assert!(purpose::check(&job, &validator).len() <= MAX_PURPOSE);
}
