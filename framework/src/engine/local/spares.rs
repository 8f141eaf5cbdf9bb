//! One rank's records of finished operations, kept for the next ones: in the steady state nothing is allocated.

use super::inbox::Ticket;
use super::letter::Loan;
use std::cell::RefCell;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Spares {
    tickets: RefCell<Vec<Arc<Ticket>>>,
    #[allow(clippy::vec_box, reason = "letters point to loans, so they must not move")]
    loans: RefCell<Vec<Box<Loan>>>,
}

impl Spares {
    pub fn ticket(&self) -> Arc<Ticket> {
        match self.tickets.borrow_mut().pop() {
            Some(ticket) => {
                ticket.renew();
                ticket
            }
            None => Arc::new(Ticket::new()),
        }
    }

    /// Of a receive that has ended or was taken back.
    pub fn return_ticket(&self, ticket: Arc<Ticket>) {
        self.tickets.borrow_mut().push(ticket);
    }

    /// For a send of world rank `owner`, whose spares these are.
    pub fn loan(&self, owner: usize) -> Box<Loan> {
        match self.loans.borrow_mut().pop() {
            Some(loan) => {
                loan.renew();
                loan
            }
            None => Box::new(Loan::new(owner)),
        }
    }

    /// Of a send whose buffer was given back, or whose letter was found and ended.
    pub fn return_loan(&self, loan: Box<Loan>) {
        self.loans.borrow_mut().push(loan);
    }
}
