//! Azure managed identity: the machine's own metadata service is asked for a token, over plain HTTP by design.
