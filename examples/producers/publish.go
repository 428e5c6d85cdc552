// Publishes one mail to system C's exchange exactly as C's own Go producer does: a struct without JSON tags
// (PascalCase on the wire), content type text/plain, no message id, transient, no confirm.
//
// usage: go run . AMQP_URL RECIPIENT [SUBJECT] [HTML]
package main

import (
	"encoding/json"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

const exchange = "smtp_send_email_exc"

// Attachment is one file; Data travels as base64 because it is a byte slice.
type Attachment struct {
	Filename    string
	ContentType string
	Data        []byte
}

// EmailData has no JSON tags on purpose: neither has C's.
type EmailData struct {
	Subject     string
	Recipient   string
	Body        string
	ReplyTo     string
	CcAddresses []string
	Attachments []Attachment
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run . AMQP_URL RECIPIENT [SUBJECT] [HTML]")
	}
	mail := EmailData{
		Recipient:   os.Args[2],
		Subject:     argument(3, "SMAP - OTP VERIFICATION"),
		Body:        argument(4, "<p>Hello &amp; welcome</p>"),
		Attachments: []Attachment{},
	}
	if err := publish(os.Args[1], mail); err != nil {
		log.Fatal(err)
	}
}

func argument(index int, otherwise string) string {
	if len(os.Args) > index {
		return os.Args[index]
	}
	return otherwise
}

func publish(url string, mail EmailData) error {
	body, err := json.Marshal(mail)
	if err != nil {
		return err
	}
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.ExchangeDeclare(exchange, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return err
	}
	message := amqp.Publishing{ContentType: "text/plain", Body: body}
	if err := channel.Publish(exchange, "", false, false, message); err != nil {
		return err
	}
	// Closing waits for the server's answer, so the message has reached it.
	return channel.Close()
}
