"""Model servers that speak the Open Inference Protocol, side by side with boxmask on the same requests."""
