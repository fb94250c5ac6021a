"""What a conversion is going to meet, found out before it begins."""
