"""Chat: questions about retrieved cases."""
