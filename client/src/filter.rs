//! Which accounts of the programs a list holds, by their type and fields: the node compares bytes, and where they lie is
//! said here alone.

use std::{marker::PhantomData, mem::offset_of};

use mythic_interface::market::state::{
    Lease, LeaseDispute, LeaseDisputeStatus, LeaseTerms, Provider, Request, RequestStatus,
    RequestTerms,
};
use mythic_interface::state::{
    Case, CaseStatus, Header, Job, JobStatus, Model, ModelSpec, SpendGrant, Terms, Validator,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::filter::{Memcmp, RpcFilterType};

use crate::account::ProgramAccount;

/// A condition on accounts of type `T`: bytes that must stand at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<T> {
    at: usize,
    bytes: Vec<u8>,
    of: PhantomData<T>,
}

impl<T: ProgramAccount> Filter<T> {
    fn new(at: usize, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            at,
            bytes: bytes.into(),
            of: PhantomData,
        }
    }

    fn of_status(status: u8) -> Self {
        // Every account begins with its header.
        Self::new(offset_of!(Header, status), [status])
    }

    /// That of the type itself.
    pub(crate) fn of_type() -> RpcFilterType {
        let at = offset_of!(Header, discriminator);
        RpcFilterType::Memcmp(Memcmp::new_raw_bytes(at, vec![T::DISCRIMINATOR]))
    }

    /// As the RPC takes it.
    pub(crate) fn to_rpc(&self) -> RpcFilterType {
        RpcFilterType::Memcmp(Memcmp::new_base58_encoded(self.at, &self.bytes))
    }
}

impl Filter<Job> {
    /// Jobs in this state.
    pub fn status(status: JobStatus) -> Self {
        Self::of_status(status as u8)
    }

    /// Jobs of the model with this account.
    pub fn model(model: &Pubkey) -> Self {
        let at = offset_of!(Job, terms) + offset_of!(Terms, model);
        Self::new(at, model.to_bytes())
    }
}

impl Filter<Case> {
    /// Cases in this state.
    pub fn status(status: CaseStatus) -> Self {
        Self::of_status(status as u8)
    }
}

impl Filter<SpendGrant> {
    /// Grants from this owner's vault.
    pub fn owner(owner: &Pubkey) -> Self {
        Self::new(offset_of!(SpendGrant, owner), owner.to_bytes())
    }
}

impl Filter<Model> {
    /// Models whose weights' file has this SHA-256.
    pub fn weights(hash: &[u8; 32]) -> Self {
        let at = offset_of!(Model, spec) + offset_of!(ModelSpec, weights_hash);
        Self::new(at, *hash)
    }

    /// Models of this registrant.
    pub fn registrant(registrant: &Pubkey) -> Self {
        Self::new(offset_of!(Model, registrant), registrant.to_bytes())
    }
}

impl Filter<Validator> {
    /// Validators with this hot key.
    pub fn operator(operator: &Pubkey) -> Self {
        Self::new(offset_of!(Validator, operator), operator.to_bytes())
    }
}

impl Filter<Request> {
    /// Requests in this state.
    pub fn status(status: RequestStatus) -> Self {
        Self::of_status(status as u8)
    }

    /// Requests of the class with this account.
    pub fn class(class: &Pubkey) -> Self {
        let at = offset_of!(Request, terms) + offset_of!(RequestTerms, class);
        Self::new(at, class.to_bytes())
    }

    /// Requests of this tenant.
    pub fn tenant(tenant: &Pubkey) -> Self {
        let at = offset_of!(Request, terms) + offset_of!(RequestTerms, tenant);
        Self::new(at, tenant.to_bytes())
    }
}

impl Filter<Lease> {
    /// Leases of this provider, named by its authority.
    pub fn provider(authority: &Pubkey) -> Self {
        let at = offset_of!(Lease, terms) + offset_of!(LeaseTerms, provider);
        Self::new(at, authority.to_bytes())
    }

    /// Leases of this tenant.
    pub fn tenant(tenant: &Pubkey) -> Self {
        let at = offset_of!(Lease, terms) + offset_of!(LeaseTerms, tenant);
        Self::new(at, tenant.to_bytes())
    }
}

impl Filter<LeaseDispute> {
    /// Disputes about this lease.
    pub fn lease(address: &Pubkey) -> Self {
        Self::new(offset_of!(LeaseDispute, lease), address.to_bytes())
    }

    /// Disputes in this state.
    pub fn status(status: LeaseDisputeStatus) -> Self {
        Self::of_status(status as u8)
    }

    /// Disputes of this disputer.
    pub fn disputer(disputer: &Pubkey) -> Self {
        Self::new(offset_of!(LeaseDispute, disputer), disputer.to_bytes())
    }

    /// Disputes about proofs of this provider, named by its authority.
    pub fn provider(authority: &Pubkey) -> Self {
        Self::new(offset_of!(LeaseDispute, provider), authority.to_bytes())
    }
}

impl Filter<Provider> {
    /// Providers of the class with this account.
    pub fn class(class: &Pubkey) -> Self {
        Self::new(offset_of!(Provider, class), class.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::{Zeroable, bytes_of};

    fn k(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn holds<T: ProgramAccount>(filter: &Filter<T>, account: &T) -> bool {
        let RpcFilterType::Memcmp(compare) = filter.to_rpc() else {
            panic!("a comparison of bytes");
        };
        compare.bytes_match(bytes_of(account))
    }

    #[test]
    fn each_filter_compares_the_field_that_it_is_named_for() {
        let mut job = Job::zeroed();
        job.header.status = JobStatus::Submitted as u8;
        job.terms.model = [3; 32];
        assert!(holds(&Filter::<Job>::status(JobStatus::Submitted), &job));
        assert!(!holds(&Filter::<Job>::status(JobStatus::Open), &job));
        assert!(holds(&Filter::<Job>::model(&k(3)), &job));
        assert!(!holds(&Filter::<Job>::model(&k(4)), &job));

        let mut case = Case::zeroed();
        case.header.status = CaseStatus::Jury as u8;
        let jury = Filter::<Case>::status(CaseStatus::Jury);
        assert!(holds(&jury, &case));

        let mut model = Model::zeroed();
        model.spec.weights_hash = [7; 32];
        model.registrant = [8; 32];
        assert!(holds(&Filter::weights(&[7; 32]), &model));
        assert!(!holds(&Filter::weights(&[8; 32]), &model));
        assert!(holds(&Filter::registrant(&k(8)), &model));
        assert!(!holds(&Filter::registrant(&k(7)), &model));

        let mut validator = Validator::zeroed();
        validator.operator = [9; 32];
        assert!(holds(&Filter::operator(&k(9)), &validator));
        assert!(!holds(&Filter::operator(&k(1)), &validator));
    }

    #[test]
    fn each_filter_of_the_market_compares_the_field_that_it_is_named_for() {
        let mut request = Request::zeroed();
        request.header.status = RequestStatus::Open as u8;
        request.terms.class = [3; 32];
        request.terms.tenant = [4; 32];
        let open = Filter::<Request>::status(RequestStatus::Open);
        assert!(holds(&open, &request));
        assert!(holds(&Filter::<Request>::class(&k(3)), &request));
        assert!(!holds(&Filter::<Request>::class(&k(4)), &request));
        assert!(holds(&Filter::<Request>::tenant(&k(4)), &request));

        let mut lease = Lease::zeroed();
        lease.terms.provider = [5; 32];
        lease.terms.tenant = [6; 32];
        assert!(holds(&Filter::<Lease>::provider(&k(5)), &lease));
        assert!(!holds(&Filter::<Lease>::provider(&k(6)), &lease));
        assert!(holds(&Filter::<Lease>::tenant(&k(6)), &lease));

        let mut dispute = LeaseDispute::zeroed();
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.provider = [7; 32];
        dispute.lease = [9; 32];
        dispute.disputer = [2; 32];
        assert!(holds(&Filter::<LeaseDispute>::lease(&k(9)), &dispute));
        assert!(!holds(&Filter::<LeaseDispute>::lease(&k(7)), &dispute));
        let open = Filter::<LeaseDispute>::status(LeaseDisputeStatus::Open);
        assert!(holds(&open, &dispute));
        assert!(holds(&Filter::<LeaseDispute>::provider(&k(7)), &dispute));
        assert!(holds(&Filter::<LeaseDispute>::disputer(&k(2)), &dispute));
        assert!(!holds(&Filter::<LeaseDispute>::disputer(&k(7)), &dispute));

        let mut provider = Provider::zeroed();
        provider.class = [8; 32];
        assert!(holds(&Filter::<Provider>::class(&k(8)), &provider));
        assert!(!holds(&Filter::<Provider>::class(&k(7)), &provider));
    }

    #[test]
    fn the_type_is_the_first_byte() {
        let RpcFilterType::Memcmp(compare) = Filter::<Job>::of_type() else {
            panic!("a comparison of bytes");
        };
        assert!(compare.bytes_match(&[Job::DISCRIMINATOR]));
        assert!(!compare.bytes_match(&[Case::DISCRIMINATOR]));
    }
}
