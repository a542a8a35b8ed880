"""Networks from other libraries and to them."""
