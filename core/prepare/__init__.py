"""Raw data in; clean, converted, checked and split examples out, with a ledger of everything that changed."""
